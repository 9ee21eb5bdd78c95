"""The configuration: what is read, and how every mistake is told."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from appliance.config import CheckResult, Config, ConfigError, check_config, default_config_path, load_config
from appliance.config_errors import describe_error
from appliance.config_models import default_directories
from appliance.delays import DelayLedger, DelayRow
from appliance.run_options import Overrides, RunOptions


def check(tmp_path: Path, text: str, **dropins: str) -> CheckResult:
    file = tmp_path / "appliance.toml"
    file.write_text(text, encoding="utf-8")
    if dropins:
        (tmp_path / "appliance.d").mkdir()
    for name, content in dropins.items():
        (tmp_path / "appliance.d" / f"{name}.toml").write_text(content, encoding="utf-8")
    return check_config(file)


ROW = (
    '[[delays]]\nsegment = "{}"\nvalue_ns = {}\nuncertainty_ns = 1\norigin = "test"\ncompensated_by = "{}"\n'
)

MISTAKES = {
    "unknown key": ("[timescale]\nlock_limt_ns = 9", ["timescale.lock_limt_ns:", 'mean "lock_limit_ns"?']),
    "unknown section": ("[timescal]\np = 0.9", ["timescal:", 'unknown section; did you mean "timescale"?']),
    "key of another section": ("[api]\ndscp = 4", ['did you mean "dscp" in [ptp]?']),
    "key nobody knows": ("[api]\nxyzzy = 4", ["[api] knows: enable, host, port"]),
    "key of the file in a section": ("budget_ns = 4", ['did you mean "budget_ns" in [timescale]?']),
    "text for a number": ('[timescale]\nlock_limit_ns = "250"', ['got "250", expected a number above 0']),
    "number for text": ("[ptp]\nprofile = 4", ["ptp.profile: got 4", '"meta", "ieee1588", "g8275"']),
    "fraction for a whole number": ("[gnss]\nsurvey_s = 10.5", ["got 10.5, expected a whole number"]),
    "truth for a number": ("[ptp]\ndomain = true", ["ptp.domain: got true, expected a whole number"]),
    "number for truth": ("[ptp]\nenable = 1", ["ptp.enable: got 1, expected true or false"]),
    "below the range": ("[timescale]\nlock_limit_ns = 0", ["got 0, expected a number above 0", "250.0"]),
    "above the range": ("[ptp]\ndscp = 64", ["got 64, expected a whole number at least 0 and at most 63"]),
    "no number at all": ("[timescale]\nbudget_ns = nan", ["timescale.budget_ns: got nan, expected a number"]),
    "infinite": ("[timescale]\nbudget_ns = inf", ["timescale.budget_ns: got inf"]),
    "coast without a pulse": ("[timescale]\ncoast_s = 1", ["timescale.coast_s: got 1", "at least 2"]),
    "release at once": ("[timescale]\nrelease_s = 0", ["timescale.release_s: got 0", "at least 60"]),
    "step of nothing": ("[timescale]\nstep_limit_ns = 0", ["timescale.step_limit_ns: got 0", "above 0"]),
    "no limits": ("[timescale]\nforecast_limits_ns = []", ["forecast_limits_ns: got [], expected a list"]),
    "limit of nothing": ("[timescale]\nforecast_limits_ns = [0]", ["forecast_limits_ns[0]: got 0"]),
    "one port": ("[ptp]\nports = [319]", ["ptp.ports", "expected a"]),
    "port out of range": ("[ptp]\nports = [319, 70000]", ["ptp.ports[1]: got 70000", "at most 65535"]),
    "equal ports": ("[ptp]\nports = [319, 319]", ["ptp: ports: event and general", "two different ports"]),
    "no list": ('[ptp]\ninterfaces = "eth0"', ["ptp.interfaces", 'got "eth0", expected a list']),
    "bad address": ('[ptp]\naddresses = ["1.2.3"]', ['ptp.addresses[0]: got "1.2.3", expected an IPv4']),
    "no address": ("[ptp]\naddresses = []", ["ptp.addresses: got [], expected a list of at least 1"]),
    "scalar for a section": ("timescale = 5", ["timescale: got 5, expected a table [timescale]"]),
    "unknown model": ('[timescale]\noscillator_model = "SA53"', ['got "SA53", expected one of auto, sa53']),
    "limit above budget": ("[timescale]\nlock_limit_ns = 2000", ["lock_limit_ns (2000) is above budget_ns"]),
    "slew above its limit": ("[timescale]\nmax_slew_ns_per_s = 0.5", ["recovery_slew_ns_per_s (1) is above"]),
    "two cards": ('[card]\nid = "a"\npci = "01:00.0"', ["id and pci each select a card; keep one"]),
    "bad PCI address": ('[card]\npci = "1:0"', ['got "1:0", expected text in quotes such as "0000:3b:00.0"']),
    "relative path": ('[paths]\nruntime = "run"', ['paths.runtime: got "run", expected an absolute path']),
    "beyond loopback": ('[api]\nhost = "0.0.0.0"', ["api.host", "without a token", "use 127.0.0.1 or ::1"]),
    "tap for everybody": ('[gnss]\ntap = "0.0.0.0:2950"', ["gnss.tap", "other hosts could reach that"]),
    "no tap": ('[gnss]\ntap = "here"', ["gnss.tap", "expected the path of a UNIX socket"]),
    "host name": ('[api]\nhost = "example.org"', ["api.host", "expected a loopback address"]),
    "missing field": ("[gnss.position]\nlatitude_deg = 1\nlongitude_deg = 2", ["height_m: is missing"]),
    "table for a list of tables": ('[delays]\nsegment = "nic"', ["delays: got a table", "[[...]]"]),
    "unknown segment": (ROW.format("roof", 1, "software"), ['delays[0].segment: got "roof"', '"splitter"']),
    "unknown place": (ROW.format("nic", 1, "reciever"), ["delays[0].compensated_by", '"receiver"']),
    "impossible place": (
        ROW.format("nic", 1, "receiver"),
        ['delays[0]: segment "nic" cannot be compensated by "receiver"; possible: software'],
    ),
    "delay compensated twice": (
        ROW.format("antenna-cable", 50, "receiver") + ROW.format("antenna-cable", 50, "timestamper"),
        ['delays[1]: segment "antenna-cable" is already compensated by "receiver" in delays[0]'],
    ),
    "delay too long for its register": (
        ROW.format("antenna-cable", 40_000, "receiver"),
        ['"receiver" would have to compensate 40000 ns; it takes -32768 to 32767 ns'],
    ),
    "unfinished line": ("[timescale]\np =\n", ["line 2, column 4: not valid TOML"]),
    "key twice": ("[ptp]\ndomain = 1\ndomain = 2\n", ["line 3", "not valid TOML"]),
    "unfinished text": ('[api]\nhost = "127', ["line 2 (end of file): not valid TOML"]),
}  # fmt: skip


@pytest.mark.parametrize("name", MISTAKES)
def test_a_mistake_is_one_line_with_file_key_and_cure(tmp_path: Path, name: str) -> None:
    text, expected = MISTAKES[name]
    result = check(tmp_path, text)
    assert result.config is None
    assert len(result.errors) == 1, result.errors
    (line,) = result.errors
    assert line.startswith(f"{tmp_path / 'appliance.toml'}: ")
    assert "\n" not in line
    for part in expected:
        assert part in line


def test_all_mistakes_of_all_files_are_told_at_once(tmp_path: Path) -> None:
    result = check(
        tmp_path,
        "[timescale]\nlock_limt_ns = 250\nbudget_ns = -1\n",
        **{"10-ptp": "[ptp]\ndomain = 300\n", "20-broken": "[ptp\n"},
    )
    directory = tmp_path / "appliance.d"
    assert [line.split(": ")[0] for line in sorted(result.errors)] == [
        f"{directory}/10-ptp.toml",
        f"{directory}/20-broken.toml",
        f"{tmp_path}/appliance.toml",
        f"{tmp_path}/appliance.toml",
    ]
    with pytest.raises(ConfigError) as caught:
        load_config(tmp_path / "appliance.toml")
    assert str(caught.value).splitlines() == list(result.errors)


def test_no_file_gives_the_defaults_of_the_decisions() -> None:
    config = Config()
    assert (config.timescale.lock_limit_ns, config.timescale.budget_ns, config.timescale.p) == (
        250,
        1000,
        0.999,
    )
    assert (config.ptp.ports, config.ptp.profile, config.ptp.domain) == ((319, 320), "meta", 0)
    assert (config.api.host, config.api.port) == ("127.0.0.1", 8080)


def test_everything_can_be_written(tmp_path: Path) -> None:
    result = check(
        tmp_path,
        """
        [card]
        vfio_user = "/run/card.sock"
        [timescale]
        topology = "C"
        oscillator_model = "ocxo"
        gnss_model = "f9t_single"
        budget_ns = 5000
        step_limit_ns = 1e9
        coast_s = 2
        release_s = 60
        forecast_limits_ns = [50, 100.5]
        temperature_swing_degc = 0
        resume = false
        [gnss]
        survey_s = 600
        [gnss.position]
        latitude_deg = 47.1
        longitude_deg = 8
        height_m = 500.5
        [[delays]]
        segment = "antenna-cable"
        value_ns = 83.4
        uncertainty_ns = 2
        origin = "20 m LMR-400, velocity factor 0.85"
        compensated_by = "receiver"
        [ptp]
        addresses = ["192.0.2.1", "2001:db8::1"]
        interfaces = ["eth0"]
        ports = [10319, 10320]
        profile = "ieee1588"
        minor_version = 0
        [ptp.limits]
        max_contracts = 10
        [api]
        host = "::1"
        [paths]
        runtime = "/tmp/run"
        group = "timecard"
        """,
    )
    assert result.errors == ()
    config = result.config
    assert config is not None
    assert config.card.vfio_user == Path("/run/card.sock")
    assert config.gnss.position is not None and config.gnss.position.height_m == 500.5
    assert config.delays[0].value_ns == 83.4
    assert config.ptp.limits.max_contracts == 10
    assert config.timescale.forecast_limits_ns == (50.0, 100.5)
    assert config.paths.core_socket == Path("/tmp/run/core.sock")


def test_dropins_win_in_order_of_name_and_replace_lists_whole(tmp_path: Path) -> None:
    result = check(
        tmp_path,
        "[ptp]\ndomain = 1\ndscp = 10\n" + ROW.format("nic", 5, "software"),
        **{
            "20-second": "[ptp]\ndomain = 3\n",
            "10-first": "[ptp]\ndomain = 2\npriority1 = 7\n" + ROW.format("pci", 9, "software"),
        },
    )
    config = result.config
    assert config is not None
    assert (config.ptp.domain, config.ptp.dscp, config.ptp.priority1) == (3, 10, 7)
    assert [row.segment for row in config.delays] == ["pci"]
    assert [file.name for file in result.files] == ["appliance.toml", "10-first.toml", "20-second.toml"]


def test_an_error_names_the_dropin_that_caused_it(tmp_path: Path) -> None:
    result = check(tmp_path, "[ptp]\ndomain = 1\n", **{"90-api": "[ptp]\ndomain = 256\n"})
    assert result.errors[0].startswith(f"{tmp_path}/appliance.d/90-api.toml: ptp.domain: got 256")


def test_the_telecom_profile_changes_defaults_but_nothing_that_was_written(tmp_path: Path) -> None:
    telecom = check(tmp_path, '[ptp]\nprofile = "g8275"\n').config
    assert telecom is not None
    assert (telecom.timescale.budget_ns, telecom.ptp.domain) == (400.0, 44)
    (tmp_path / "own").mkdir()
    own = check(
        tmp_path / "own", '[ptp]\nprofile = "g8275"\ndomain = 24\n[timescale]\nbudget_ns = 900\n'
    ).config
    assert own is not None
    assert (own.timescale.budget_ns, own.ptp.domain) == (900.0, 24)


@pytest.mark.parametrize(
    ("prepare", "expected"),
    [
        (lambda path: None, "no such file; give an existing one with --config"),
        (lambda path: path.mkdir(), "it is a directory"),
        (lambda path: path.write_bytes(b"[api]\n# caf\xe9\n"), "line 2: not UTF-8 text"),
        (lambda path: path.write_bytes(b"#" * (1 << 20) + b"##"), "larger than"),
        (lambda path: path.write_bytes(b"a = " + b"[" * 100_000), "not valid TOML"),
        (lambda path: path.write_bytes(b"[api]\nport = " + b"[" * 300 + b"]" * 300), "nested too deeply"),
        (lambda path: path.write_bytes(b"[" + b"a." * 5_000 + b"a]"), "nested too deeply"),
        (lambda path: path.write_bytes(b"[api]\nport = " + b"9" * 5_000), "a number has too many digits"),
        (lambda path: path.write_bytes(b"[api]\nport = 1" + b"0" * 310), "api.port: got 0x"),
        (lambda path: path.write_bytes(b"[card]\nid = 0x" + b"f" * 5_000), "card.id: got 0xfff"),
        (lambda path: path.write_bytes(b"[timescale]\nbudget_ns = 1" + b"0" * 310), "budget_ns: got 0x"),
    ],
)
def test_an_unusable_file_is_one_line(tmp_path: Path, prepare: object, expected: str) -> None:
    file = tmp_path / "appliance.toml"
    assert callable(prepare)
    prepare(file)
    result = check_config(file)
    assert len(result.errors) == 1
    assert str(file) in result.errors[0] and expected in result.errors[0]


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads every file")
def test_an_unreadable_file_is_one_line(tmp_path: Path) -> None:
    file = tmp_path / "appliance.toml"
    file.touch(mode=0)
    assert "permission denied" in check_config(file).errors[0]


def test_permission_is_told_as_such(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "open", refuse)
    assert "permission denied; run as a user who may read it" in check_config(tmp_path / "x.toml").errors[0]


@given(st.binary(max_size=200))
def test_no_bytes_whatsoever_raise_or_break_the_line(
    tmp_path_factory: pytest.TempPathFactory, data: bytes
) -> None:
    file = tmp_path_factory.mktemp("fuzz") / "any.toml"
    file.write_bytes(data)
    assert all("\n" not in line and "\r" not in line for line in check_config(file).errors)


NAMES = st.sampled_from([*Config.model_fields, "ports", "p", "segment", "addresses", "limits", "position"])
KEYS = NAMES | st.text(max_size=8)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=12),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=4),
    max_leaves=12,
)


@given(st.dictionaries(KEYS, VALUES, max_size=6))
def test_every_wrong_document_has_one_line_per_error(document: dict[str, object]) -> None:
    try:
        Config.model_validate(document)
    except ValidationError as error:
        lines = [text for _, text in describe_error(error, Config)]
        assert lines
        assert all(line.isprintable() for line in lines), lines


def test_where_files_are_kept_depends_on_who_runs() -> None:
    assert default_directories({}, 0) == (Path("/run/time-appliance"), Path("/var/lib/time-appliance"))
    user = {"HOME": "/home/u", "XDG_RUNTIME_DIR": "/run/user/7"}
    assert default_directories(user, 7) == (
        Path("/run/user/7/time-appliance"),
        Path("/home/u/.local/state/time-appliance"),
    )
    unit = user | {"RUNTIME_DIRECTORY": "/run/a:/run/b", "STATE_DIRECTORY": "/var/lib/a"}
    assert default_directories(unit, 7) == (Path("/run/a"), Path("/var/lib/a"))


def test_which_file_is_read_depends_on_who_runs(tmp_path: Path) -> None:
    system = Path("/etc/time-appliance/appliance.toml")
    environ = {"XDG_CONFIG_HOME": str(tmp_path)}
    assert default_config_path(environ, 7) == system
    own = tmp_path / "time-appliance" / "appliance.toml"
    own.parent.mkdir()
    own.touch()
    assert default_config_path(environ, 7) == own
    assert default_config_path(environ, 0) == system
    assert default_config_path({"CONFIGURATION_DIRECTORY": "/etc/x"}, 7) == Path("/etc/x/appliance.toml")


def row(segment: str, value_ns: float, uncertainty_ns: float, place: str) -> DelayRow:
    return DelayRow.model_validate({
        "segment": segment,
        "value_ns": value_ns,
        "uncertainty_ns": uncertainty_ns,
        "origin": "test",
        "compensated_by": place,
    })  # fmt: skip


def test_the_ledger_sums_delays_and_root_sum_squares_uncertainties_per_plane() -> None:
    ledger = DelayLedger((
        row("antenna", 30.0, 3.0, "software"),
        row("antenna-cable", 83.4, 4.0, "receiver"),
        row("pci", 12.0, 12.0, "software"),
        row("nic", 200.0, 84.0, "software"),
    ))  # fmt: skip
    assert ledger.calibrated
    assert ledger.delay_ns("card") == pytest.approx(113.4)
    assert ledger.uncertainty_ns("card") == pytest.approx(5.0)
    assert ledger.uncertainty_ns("host") == pytest.approx(13.0)
    assert ledger.uncertainty_ns("port") == pytest.approx(85.0)
    assert ledger.register_ns("receiver") == 83
    assert ledger.software_ns("card") == pytest.approx(30.4), "the register's lost 0.4 ns are not lost"
    assert ledger.software_ns("port") == pytest.approx(242.4)


@pytest.mark.parametrize("rows", [(), (row("antenna-cable", 50.0, 1.0, "receiver"),)])
def test_an_antenna_chain_nobody_measured_counts_fifty_ns(rows: tuple[DelayRow, ...]) -> None:
    ledger = DelayLedger(rows)
    assert not ledger.calibrated
    assert ledger.uncertainty_ns("card") == 50.0
    reason = ledger.not_calibrated_reason
    assert reason is not None and "for antenna" in reason and "50 ns" in reason


def test_a_bad_chain_is_not_improved_by_being_incomplete() -> None:
    assert DelayLedger((row("antenna-cable", 500.0, 120.0, "receiver"),)).uncertainty_ns("card") == 120.0


def test_a_ledger_with_doubles_cannot_be_made() -> None:
    with pytest.raises(ValueError, match="already compensated"):
        DelayLedger((row("nic", 1.0, 1.0, "software"), row("nic", 1.0, 1.0, "software")))


def test_the_command_line_wins_and_leaves_the_rest_unset(tmp_path: Path) -> None:
    file = tmp_path / "appliance.toml"
    file.write_text('[card]\nid = "x"\n[ptp]\ndomain = 5\n', encoding="utf-8")
    plain = RunOptions(config_path=file).load()
    assert "ports" not in plain.ptp.model_fields_set, "nobody asked for the standard ports"
    overrides = Overrides(
        ports=(10319, 10320), api_port=9000, runtime_dir=tmp_path, vfio_user=tmp_path / "card.sock", cold=True
    )
    config = RunOptions(config_path=file, overrides=overrides).load()
    assert (config.ptp.ports, config.ptp.domain, config.api.port) == ((10319, 10320), 5, 9000)
    assert "ports" in config.ptp.model_fields_set
    assert config.card.id is None and config.card.vfio_user == tmp_path / "card.sock"
    assert config.paths.runtime == tmp_path and not config.timescale.resume


def test_overrides_out_of_range_are_told_like_the_file() -> None:
    with pytest.raises(ConfigError, match=r"command line: api\.port: got 70000"):
        Overrides(api_port=70_000).apply(Config())


def test_the_arguments_of_a_child_give_the_same_configuration(tmp_path: Path) -> None:
    options = RunOptions(
        config_path=tmp_path / "a.toml",
        overrides=Overrides(ports=(1319, 1320), api_port=9000, state_dir=tmp_path, cold=True),
    )
    assert options.arguments() == [
        "--config", str(tmp_path / "a.toml"), "--ports", "1319,1320", "--api-port", "9000",
        "--state-dir", str(tmp_path), "--cold",
    ]  # fmt: skip
