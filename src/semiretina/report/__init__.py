"""The report: sections of tables and pictures on one self-contained page, from run folders alone."""

from semiretina.report.page import write_report
from semiretina.report.results import Row, results_table, to_markdown, to_text

__all__ = ["Row", "results_table", "to_markdown", "to_text", "write_report"]
