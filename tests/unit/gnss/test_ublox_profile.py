"""The configuration that a receiver is asked to have."""

from __future__ import annotations

from typing import Any

import pytest
from pyubx2 import cfgname2key

from timecard.gnss.ublox_profile import FixedPosition, UbloxOptions, family_of, wanted_by_field


def wanted_values(options: UbloxOptions) -> dict[str, int]:
    return {key: value for keys in wanted_by_field(options).values() for key, value in keys.items()}


def test_every_key_exists_and_fits_one_message() -> None:
    for options in (
        UbloxOptions(),
        UbloxOptions(fixed_position=FixedPosition(x_m=4.2e6, y_m=6e5, z_m=4.7e6)),
    ):
        wanted = wanted_values(options)
        assert len(wanted) <= 64
        for name in wanted:
            key, _ = cfgname2key(name)
            assert key


def test_no_pulse_without_a_lock_and_tai_without_leap_seconds() -> None:
    wanted = wanted_values(UbloxOptions())
    assert (wanted["CFG_TP_LEN_TP1"], wanted["CFG_TP_USE_LOCKED_TP1"]) == (0, 1)
    assert wanted["CFG_TP_TIMEGRID_TP1"] == 1
    assert wanted["CFG_MSGOUT_UBX_TIM_TP_UART1"] == 1


def test_what_the_fpga_decodes_comes_each_second() -> None:
    wanted = wanted_values(UbloxOptions())
    assert {wanted[f"CFG_MSGOUT_UBX_{name}_UART1"] for name in ("NAV_TIMEUTC", "NAV_TIMELS", "MON_HW")} == {1}


def test_baud_rate_and_lock_are_never_written() -> None:
    names = " ".join(wanted_values(UbloxOptions()))
    assert "BAUD" not in names
    assert "CFG_SEC" not in names


def test_a_fixed_position_is_given_to_a_tenth_of_a_millimetre() -> None:
    position = FixedPosition(x_m=4_279_269.33214, y_m=-642_725.46, z_m=4_670_586.5, sigma_m=0.05)
    wanted = wanted_values(UbloxOptions(fixed_position=position))
    assert wanted["CFG_TMODE_MODE"] == 2
    assert (wanted["CFG_TMODE_ECEF_X"], wanted["CFG_TMODE_ECEF_X_HP"]) == (427_926_933, 21)
    assert (wanted["CFG_TMODE_ECEF_Y"], wanted["CFG_TMODE_ECEF_Y_HP"]) == (-64_272_546, 0)
    assert wanted["CFG_TMODE_FIXED_POS_ACC"] == 500
    assert "CFG_TMODE_SVIN_MIN_DUR" not in wanted


def test_a_survey_has_limits_in_the_receivers_units() -> None:
    wanted = wanted_values(UbloxOptions(survey_min_s=1200, survey_sigma_m=9.0))
    assert wanted["CFG_TMODE_MODE"] == 1
    assert (wanted["CFG_TMODE_SVIN_MIN_DUR"], wanted["CFG_TMODE_SVIN_ACC_LIMIT"]) == (1200, 90_000)


@pytest.mark.parametrize(
    ("bad", "named"),
    [
        ({"survey_min_s": 1}, "survey_min_s"),
        ({"survey_sigma_m": 0.0}, "survey_sigma_m"),
        ({"antenna_cable_delay_ns": 40_000}, "antenna_cable_delay_ns"),
        ({"layers": 8}, "layers"),
        ({"satellites_every_s": 0}, "satellites_every_s"),
    ],
)
def test_an_option_out_of_range_is_named(bad: dict[str, Any], named: str) -> None:
    with pytest.raises(ValueError, match=named):
        UbloxOptions(**bad)


def test_a_position_that_is_not_on_the_earth_is_refused() -> None:
    with pytest.raises(ValueError, match="ECEF"):
        FixedPosition(x_m=47.4, y_m=8.5, z_m=470.0)


def test_families_by_model() -> None:
    assert family_of("ZED-F9T").qerr_limit_ps == 5_000
    assert family_of("RCB-F9T").qerr_limit_ps == 5_000
    assert family_of("LEA-M8T-0").qerr_limit_ps == 10_500
    assert family_of("NEO-X99").name == "unknown"
