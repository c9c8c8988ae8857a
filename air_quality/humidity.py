"""How much of what an optical sensor sees is water: kappa-Koehler growth (Crilley et al. 2018, AMT 11)."""

from __future__ import annotations

# The growth factor has a pole at 100 %: beyond this the formula says more than any sensor knows (ibid., 3.3).
MAX_HUMIDITY_PCT = 95.0
# What UK urban aerosol showed was 0.38 to 0.41 (ibid., table 2); dust and the country lie lower.
KAPPA = 0.4
PARTICLE_DENSITY_G_CM3 = 1.65  # dry aerosol, over water's 1.0 (ibid., eq. 4)


def growth_factor(humidity_pct: float, kappa: float = KAPPA) -> float:
    """C = 1 + (kappa / 1.65) / (1 / a_w - 1) >= 1 with a_w = humidity_pct / 100, clamped to 0 to 95 %."""
    activity = min(max(humidity_pct, 0.0), MAX_HUMIDITY_PCT) / 100.0
    return 1.0 + (kappa / PARTICLE_DENSITY_G_CM3) * activity / (1.0 - activity)


def dry_mass(pm_ug_m3: float, humidity_pct: float, kappa: float = KAPPA) -> float:
    """The mass without the water: pm / C. Never on top of a correction with a humidity term of its own."""
    return pm_ug_m3 / growth_factor(humidity_pct, kappa)
