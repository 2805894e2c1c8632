"""The `depthhmr` command: what it says, and the status it ends with."""

import argparse
import subprocess
import sys
from types import SimpleNamespace

import pytest

from bodykit.errors import UserError
from depthhmr_cli import main as cli
from depthhmr_cli.serve import SETTINGS
from service import __version__
from service.settings import Settings, written_default


def command_that(run: object) -> SimpleNamespace:
    return SimpleNamespace(HELP="does a thing", add_arguments=lambda parser: None, run=run, __doc__=None)


@pytest.fixture
def install_command(monkeypatch: pytest.MonkeyPatch):
    """A function that makes `depthhmr thing` run what it is given."""

    def install(run: object) -> None:
        monkeypatch.setitem(sys.modules, "thing", command_that(run))
        monkeypatch.setitem(cli.COMMANDS, "thing", "thing")

    return install


def test_version_is_the_version_of_the_service(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        cli.main(["--version"])

    assert end.value.code == 0
    assert capsys.readouterr().out == f"depthhmr {__version__}\n"


def test_help_names_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        cli.main(["--help"])

    output = capsys.readouterr().out
    assert end.value.code == 0
    assert [name for name in cli.COMMANDS if f"\n    {name}" not in output] == []


@pytest.mark.parametrize("name", cli.COMMANDS)
def test_each_command_shows_an_example_in_its_help(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        cli.main([name, "--help"])

    assert end.value.code == 0
    assert f"depthhmr {name}" in capsys.readouterr().out.partition("example")[2]


def test_help_needs_no_torch() -> None:
    program = "import sys; sys.modules['torch'] = None; from depthhmr_cli.main import main; main(['--help'])"

    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)

    assert result.returncode == 0, result.stderr


def test_unknown_command_ends_with_status_2_and_names_the_known_ones(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        cli.main(["fly"])

    message = capsys.readouterr().err
    assert end.value.code == 2
    assert "fly" in message
    assert "reconstruct" in message


def test_no_command_at_all_is_an_error(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        cli.main([])

    assert end.value.code == 2
    assert "COMMAND" in capsys.readouterr().err


def test_status_of_the_command_is_the_status_of_the_program(install_command) -> None:
    install_command(lambda args: 1)

    assert cli.main(["thing"]) == 1


def test_user_error_is_one_line_and_status_2(install_command, capsys: pytest.CaptureFixture[str]) -> None:
    def run(args: argparse.Namespace) -> int:
        raise UserError("expected a .jpg file, got people.txt")

    install_command(run)

    status = cli.main(["thing"])

    assert status == 2
    assert capsys.readouterr().err == "depthhmr: expected a .jpg file, got people.txt\n"


def test_missing_extra_is_named(install_command, monkeypatch, capsys: pytest.CaptureFixture[str]) -> None:
    def run(args: argparse.Namespace) -> int:
        import torch  # noqa: F401

        return 0

    monkeypatch.setitem(sys.modules, "torch", None)
    install_command(run)

    status = cli.main(["thing"])

    assert status == 2
    message = capsys.readouterr().err
    assert message.count("\n") == 1
    assert "needs the package torch" in message
    assert "which is not installed: scripts/install train in the checkout" in message


def test_missing_module_of_no_extra_is_a_fault_of_ours_and_is_not_hidden(install_command) -> None:
    def run(args: argparse.Namespace) -> int:
        import no_such_module  # noqa: F401

        return 0

    install_command(run)

    with pytest.raises(ModuleNotFoundError):
        cli.main(["thing"])


def test_reader_that_leaves_early_is_no_crash() -> None:
    program = (
        "import sys, types; from depthhmr_cli import main as cli\n"
        "run = lambda args: print('line\\n' * 100_000) or 0\n"
        "sys.modules['thing'] = types.SimpleNamespace(HELP='', add_arguments=lambda parser: None, run=run)\n"
        "cli.COMMANDS['thing'] = 'thing'\n"
        "sys.exit(cli.main(['thing']))"
    )

    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout and process.stderr
        process.stdout.close()
        complaint = process.stderr.read()

    assert process.returncode == 141
    assert complaint == b""


def test_interrupt_ends_with_the_status_that_shells_expect(install_command, capsys: pytest.CaptureFixture[str]) -> None:
    def run(args: argparse.Namespace) -> int:
        raise KeyboardInterrupt

    install_command(run)

    assert cli.main(["thing"]) == 130
    assert capsys.readouterr().err == "depthhmr: interrupted\n"


def test_flags_of_serve_show_the_description_and_the_default_of_their_setting(capsys):
    with pytest.raises(SystemExit):
        cli.main(["serve", "--help"])

    shown = " ".join(capsys.readouterr().out.split())
    assert set(SETTINGS) <= set(Settings.model_fields)
    for name in SETTINGS:
        default = written_default(name)
        assert Settings.model_fields[name].description + (f" (default: {default})" if default else "") in shown
