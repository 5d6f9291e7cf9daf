"""What is wrong with a manifest and its photographs, found before anybody trains on them."""

from semiretina.audit.audit import Audit, audit_manifest

__all__ = ["Audit", "audit_manifest"]
