"""The three made-up hospitals of the synthetic photographs, and the camera of each."""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Hospital:
    """A site and its camera. Lengths are fractions of the photograph's nominal size."""

    site: str
    camera: str
    width: float
    height: float
    field: float  # diameter of the field of view; more than the height where the camera cuts it off
    color: tuple[float, float, float]  # R, G, B of the healthy retina, 0 to 255
    vignette: float  # how much darker the rim is, in the logarithm
    lean: tuple[float, float]  # where the flash falls brighter
    blur: float  # of the optics, as a share of the field's diameter
    noise: float  # of the sensor, sd in 8-bit steps
    quality: int  # of the JPEG files

    @property
    def reach(self) -> float:
        """The largest |y| that the photograph shows, in units of the field's radius."""
        return min(1.0, self.height / self.field)


HOSPITALS: Mapping[str, Hospital] = {
    hospital.site: hospital
    for hospital in (
        Hospital("alder", "A45", 1.35, 0.9, 0.86, (218, 104, 50), 0.36, (0.10, -0.05), 0.0016, 1.6, 94),
        Hospital("birch", "B50", 1.5, 1.0, 1.18, (198, 120, 30), 0.22, (-0.06, 0.06), 0.0022, 1.2, 92),
        Hospital("cedar", "C30", 1.4, 1.12, 1.06, (206, 122, 92), 0.30, (0.0, 0.12), 0.0028, 2.2, 90),
    )
}
