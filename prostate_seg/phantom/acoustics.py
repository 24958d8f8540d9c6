"""Image formation in beam space: echoes and losses of a slice in dB, on a (radius, angle) grid."""

from __future__ import annotations

import numpy as np

from ..geometry.volume import Array
from .anatomy import Anatomy, bladder, gland, gland_distance_mm, rectal_wall, urethra_distance_mm, vesicles
from .beams import Beams, SmoothField
from .implants import Implant, reflected
from .spots import Spot, add_spots, draw_spots
from .tissue import Tissue


class Scene:
    """One patient under one probe; computes the echoes of a slice in dB."""

    def __init__(
        self,
        rng: np.random.Generator,
        anatomy: Anatomy,
        tissue: Tissue,
        beams: Beams,
        *,
        implants: tuple[Implant, ...] = (),
    ) -> None:
        self.anatomy, self.tissue, self.beams, self.implants = anatomy, tissue, beams, implants
        self.x, self.y = beams.positions()
        self.depth = beams.radius_mm - beams.radius_mm[0]
        self._coarse = SmoothField(rng, beams, (12.0, 14.0, 14.0))
        self._middle = SmoothField(rng, beams, (5.0, 6.0, 7.0))
        self._fine = SmoothField(rng, beams, (2.2, 2.6, 4.0))
        self._streak = SmoothField(rng, beams, (0.9, 6.0, 6.0))
        self.spots: list[Spot] = draw_spots(rng, anatomy, tissue)
        self._phases = rng.uniform(0, 2 * np.pi, 3)
        self._time_gain = tissue.time_gain_db * np.sin(
            self.depth / rng.uniform(6, 14) + self._phases[0]
        ) - tissue.attenuation_db_per_mm * np.clip(self.depth - rng.uniform(0, 8), 0, None)
        self._pubic = rng.uniform(0.2, 0.7), rng.uniform(0.0, 0.35), rng.uniform(8, 20)
        losses = range(tissue.contact_losses)
        at = beams.angle[0], beams.angle[-1]
        aside = np.linspace(-1, 1, len(beams.angle), dtype=np.float32)
        self._side_loss = np.float32(tissue.side_loss_db) * aside**2
        self._contact = [(rng.uniform(*at), rng.uniform(0.03, 0.14), rng.uniform(6, 28)) for _ in losses]
        self._contact_z = [(rng.uniform(-30, 30), rng.uniform(5, 40)) for _ in losses]

    def slice_db(self, z: float) -> Array:
        """Return the echo strength of the slice at z mm, in dB: (R, A) float32.

        Losses along the beam are included. Speckle, noise and the echoes of implants are not.
        """
        tissue = self.tissue
        coarse, middle, fine = self._coarse.at(z), self._middle.at(z), self._fine.at(z)
        surface = gland(self.anatomy, self.x, self.y, np.float32(z))
        distance = gland_distance_mm(self.anatomy, (self.x, self.y), z, surface)
        side = self._anterior_share(z)
        inside = np.clip(0.5 - distance / tissue.edge_mm, 0, 1)
        echo = self._outside(z, distance, side, (coarse, middle))
        echo += inside * (self._inside(z, (coarse, middle, fine)) - echo)
        slope = np.abs(np.gradient(distance, axis=0)) / (self.beams.radius_mm[1] - self.beams.radius_mm[0])
        broken = np.clip(0.75 + 0.75 * middle, 0, 1.5) * side * slope.clip(0.05, 1) ** tissue.rim_power
        echo += tissue.rim_db * broken * np.exp(-((distance / tissue.rim_mm) ** 2))
        flank = np.exp(-((distance / 1.5) ** 2)) * (slope < 0.35)
        shadow = tissue.edge_shadow_db * np.clip(np.cumsum(flank, axis=0) / 12, 0, 1)
        echo, more = self._neighbours(z, echo, distance, fine)
        echo += (
            add_spots(self.spots, self.beams, z)
            + self._near_and_time_gain()[:, None]
            - more
            - shadow
            - self._side_loss
        )
        if self.implants:
            echo -= reflected(self.implants, self.beams, z)[1]
        return echo.astype(np.float32)

    def reflected_share(self, z: float) -> Array | None:
        """Return the power that implants reflect at z mm, as a multiple of the tissue's: (R, A), or None."""
        if not self.implants:
            return None
        return 10 ** (reflected(self.implants, self.beams, z)[0] / 10) - 1

    def _anterior_share(self, z: float) -> Array:
        """Return a factor (R, A) for the echoes of fat and capsule: about 1, but down to 0.3 behind the gland.

        Behind the gland the fat is thin, and the beams reach it first. Anterior of the gland and beside it, the
        factor is about 1.
        """
        centre_y = self.anatomy.centre_mm[1]
        v = (self.y - centre_y + self.anatomy.pitch * z) / self.anatomy.height_mm
        return 0.3 + 0.7 / (1 + np.exp(np.minimum(8 * (v - 0.12), 80)))

    def _outside(self, z: float, distance: Array, side: Array, fields: tuple[Array, Array]) -> Array:
        tissue, (coarse, middle) = self.tissue, fields
        away = np.clip(distance, 0, None)
        near = np.exp(-((away / tissue.fat_mm) ** 2))
        fat = tissue.fat_db * near * side * np.clip(0.8 + 0.6 * middle, 0, 2)
        muscle = (
            tissue.muscle_db * np.clip((away - 0.6 * tissue.fat_mm) / 12, 0, 1) * np.clip(1 + 0.7 * coarse, 0, 2)
        )
        echo = fat + muscle + tissue.patches_db * (coarse + 0.6 * middle) + tissue.streak_db * self._streak.at(z)
        below = np.clip(-z / (0.5 * self.anatomy.length_mm) - 0.8, 0, 0.4) / 0.4
        if below > 0 and tissue.sphincter_db > 0:  # the sphincter continues below the apex
            ring = urethra_distance_mm(self.anatomy, self.x, self.y, np.float32(z)) / 7.0
            echo += below * tissue.sphincter_db * (0.6 * np.exp(-(((ring - 1.15) / 0.2) ** 2)) - np.exp(-(ring**4)))
        return echo

    def _inside(self, z: float, fields: tuple[Array, Array, Array]) -> Array:
        tissue, (coarse, middle, fine) = self.tissue, fields
        share, lift = self.anatomy.transition_share ** (1 / 3), 0.1 * self.anatomy.height_mm
        inner = gland(self.anatomy, self.x, self.y, np.float32(z), scale=share, lift_mm=lift)
        peripheral = tissue.peripheral_db + tissue.peripheral_texture_db * middle
        transition = tissue.transition_db + tissue.transition_texture_db * (0.7 * middle + 0.6 * fine)
        mix = np.clip(0.5 + (inner - 1) * 6, 0, 1)
        capsule = tissue.surgical_capsule_db * np.exp(-(((inner - 1) / 0.07) ** 2)) * np.clip(0.7 + coarse, 0, 1.5)
        return tissue.gland_db + transition + mix * (peripheral - transition) + capsule + 0.8 * coarse

    def _neighbours(self, z: float, echo: Array, distance: Array, fine: Array) -> tuple[Array, Array]:
        """Return the echoes with the neighbouring structures added, and the losses behind these structures.

        Both are (R, A) in dB. The structures are bladder, seminal vesicles, rectal wall, urethra and pubic bone.
        The losses include those of poor probe contact.
        """
        anatomy, tissue, x, y = self.anatomy, self.tissue, self.x, self.y
        z32 = np.float32(z)
        step = self.beams.radius_mm[1] - self.beams.radius_mm[0]
        loss = np.zeros(self.beams.shape, np.float32)
        tubes = vesicles(anatomy, x, y, z32)
        if tubes.min() < 1.3:
            wall = 5 * np.exp(-(((tubes - 1.1) / 0.12) ** 2))
            echo = np.where(distance > 0.5, np.where(tubes < 1, echo + tissue.vesicle_db, echo + wall), echo)
        wet = np.maximum(bladder(anatomy, x, y, z32), 1 + (2.0 - distance) / 20)
        if wet.min() < 1.2:
            echo = np.where(wet < 1, tissue.bladder_db + 1.5 * fine, echo)
            echo = echo + np.float32(6) * np.exp(-(((wet - 1.05) / 0.06) ** 2)) * np.clip(0.8 + 0.6 * fine, 0, 2)
            loss -= np.minimum(0.35 * step * np.cumsum(wet < 1, axis=0), 9)
        layer = rectal_wall(anatomy, x, y)
        rings = tissue.wall_db + 4 * np.cos(2 * np.pi * layer * tissue.wall_layers + self._phases[1])
        echo = np.where((layer < 1) & (distance > 0), rings + fine, echo)
        echo, tube_loss = self._urethra(z, echo, fine)
        slope, below, soft = self._pubic
        low = 1 / (1 + np.exp((z / anatomy.length_mm + below) * soft))
        front = anatomy.centre_mm[1] - (1 - anatomy.posterior_share) * anatomy.height_mm - tissue.pubic_mm
        side = np.hypot(x - anatomy.centre_mm[0], 6) - 6
        bone = front - y + slope * side + 0.8 * fine
        echo = echo + low * 12 * np.exp(-((bone / 1.2) ** 2)) * np.clip(0.6 + self._middle.at(z), 0, 1.4)
        loss += tube_loss + low * 22 * np.clip(bone / 3, 0, 1)
        for (at, width, strength), (at_z, span) in zip(self._contact, self._contact_z, strict=True):
            wedge = np.exp(-(((self.beams.angle - at) / width) ** 2) - ((z - at_z) / span) ** 2)
            loss += (strength * wedge)[None, :] * np.clip(self.depth[:, None] / 4, 0, 1)
        return echo, loss

    def _urethra(self, z: float, echo: Array, fine: Array) -> tuple[Array, Array]:
        anatomy, tissue = self.anatomy, self.tissue
        distance = urethra_distance_mm(anatomy, self.x, self.y, np.float32(z))
        radius = anatomy.urethra_radius_mm
        if tissue.urethra_kind == "gel":
            echo = np.where(distance < 0.7 * radius, np.maximum(echo, 5 + 4 * fine), echo)
        elif tissue.urethra_kind == "foley":
            echo = np.where(distance < 0.75 * radius, -28.0, echo)
            echo = echo + 15 * np.exp(-(((distance - radius) / 0.5) ** 2))
        blocked = np.cumsum(np.exp(-((distance / (radius + 1)) ** 2)), axis=0)
        step = self.beams.radius_mm[1] - self.beams.radius_mm[0]
        reach = 1 / (1 + np.exp((np.abs(z) - 0.55 * anatomy.length_mm) / 2))
        return echo, tissue.urethra_shadow_db * reach * np.clip(blocked * step / (2 * radius + 2), 0, 1)

    def _near_and_time_gain(self) -> Array:
        tissue, depth = self.tissue, self.depth
        glow = tissue.glow_db * np.exp(-depth / tissue.glow_mm) + 12 * np.exp(-((depth / 0.8) ** 2))
        rings = np.cos(2 * np.pi * depth / tissue.ring_mm + self._phases[2]) * np.exp(-depth / (2 * tissue.ring_mm))
        return (glow + tissue.ring_db * rings + self._time_gain).astype(np.float32)
