"""The cameras of the synthetic photographs: of three made-up hospitals, and of three that look like Messidor's."""

from collections.abc import Mapping
from dataclasses import dataclass

from semiretina.data import messidor_facts as facts


@dataclass(frozen=True, slots=True)
class Camera:
    """A hospital's camera. Lengths are fractions of the photograph's nominal size."""

    site: str
    name: str
    width: float
    height: float
    field: float  # diameter of the field of view; more than the height where the camera cuts it off
    color: tuple[float, float, float]  # R, G, B of the healthy retina, 0 to 255
    vignette: float  # how much darker the rim is, in the logarithm
    lean: tuple[float, float]  # where the flash falls brighter
    blur: float  # of the optics, as a fraction of the field's diameter
    noise: float  # of the sensor, sd in 8-bit steps
    quality: int  # of the JPEG files

    @property
    def reach(self) -> float:
        """The largest |y| that the photograph shows, in units of the field's radius."""
        return min(1.0, self.height / self.field)


HOSPITALS: Mapping[str, Camera] = {
    camera.site: camera
    for camera in (
        Camera("alder", "A45", 1.35, 0.9, 0.86, (218, 104, 50), 0.36, (0.10, -0.05), 0.0016, 1.6, 94),
        Camera("birch", "B50", 1.5, 1.0, 1.18, (198, 120, 30), 0.22, (-0.06, 0.06), 0.0022, 1.2, 92),
        Camera("cedar", "C30", 1.4, 1.12, 1.06, (206, 122, 92), 0.30, (0.0, 0.12), 0.0028, 2.2, 90),
    )
}

# Messidor's three sizes over their mean height. That each hospital has one of them is ours; so is which.
_NOMINAL = sum(height for _, height in facts.SIZES) / len(facts.SIZES)
_SMALL, _MIDDLE, _LARGE = ((width / _NOMINAL, height / _NOMINAL) for width, height in facts.SIZES)
_SITES = tuple(hospital.site for hospital in facts.HOSPITALS)
LOOKALIKES: Mapping[str, Camera] = {
    camera.site: camera
    for camera in (
        Camera(_SITES[0], facts.CAMERA, *_MIDDLE, 1.05, (212, 108, 46), 0.32, (0.08, -0.04), 0.0016, 1.4, 94),
        Camera(_SITES[1], facts.CAMERA, *_LARGE, 1.18, (200, 118, 36), 0.24, (-0.06, 0.05), 0.0020, 1.2, 94),
        Camera(_SITES[2], facts.CAMERA, *_SMALL, 0.68, (206, 118, 78), 0.30, (0.0, 0.10), 0.0026, 2.0, 92),
    )
}
CAMERAS: Mapping[str, Camera] = {**HOSPITALS, **LOOKALIKES}
