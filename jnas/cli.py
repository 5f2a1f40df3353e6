"""Command line: arguments to one pipeline call per sub-command."""

import difflib
import os
import sys
import traceback
from collections.abc import Callable, Sequence

from jnas import machines
from jnas.commands import images, lookups, measures, stages

EXIT_BAD_INPUT = 2
EXIT_FAILED = 1

_DESCRIPTION = "Differentiable neural architecture search on JAX."


def main(arguments: Sequence[str] | None = None) -> None:
  """Runs the command line and exits.

  Exit codes: 0 done, or stopped by a signal with the state saved; 1 a failure
  in running; 2 bad input.
  """
  arguments = list(sys.argv[1:] if arguments is None else arguments)
  # Dotted paths such as my_lab.ops:OP are looked up from where one stands.
  if os.getcwd() not in sys.path:
    sys.path.insert(0, os.getcwd())
  debug = "--debug" in arguments
  arguments = [argument for argument in arguments if argument != "--debug"]
  machines.leave(_run(arguments, debug=debug))


def _run(arguments: list[str], *, debug: bool) -> int:
  from jnas.training import checkpoint, processes

  try:
    _dispatch(arguments)
  except processes.FirstFailedError as error:
    return EXIT_BAD_INPUT if error.bad_input else EXIT_FAILED
  except (checkpoint.SaveError, checkpoint.CheckpointError) as error:
    return _fail(error, EXIT_FAILED, debug)
  except (ValueError, FileNotFoundError, NotADirectoryError) as error:
    return _fail(error, EXIT_BAD_INPUT, debug)
  except BrokenPipeError:
    return EXIT_FAILED
  except (FloatingPointError, OSError, RuntimeError) as error:
    return _fail(error, EXIT_FAILED, debug)
  except KeyboardInterrupt:
    print("jnas: interrupted", file=sys.stderr)
    return 130
  return 0


def _fail(error: Exception, code: int, debug: bool) -> int:
  from jnas.training import lost

  if debug:
    traceback.print_exception(error)
  elif lost.is_sign(error):
    lost.end()
  else:
    line = " ".join(str(error).split()) or type(error).__name__
    print(f"jnas: error: {line}", file=sys.stderr)
  return code


def _dispatch(arguments: list[str]) -> None:
  commands = _commands()
  if not arguments or arguments[0] in ("-h", "--help"):
    print(_usage(commands))
    return
  if arguments[0] == "--version":
    from jnas import __version__

    print(__version__)
    return
  name, *rest = arguments
  if name not in commands:
    near = difflib.get_close_matches(name, commands, n=1)
    hint = f"; did you mean {near[0]}?" if near else ""
    raise ValueError(
      f"unknown command {name!r}{hint}; commands: {', '.join(commands)}"
    )
  commands[name](rest)


def _commands() -> dict[str, Callable[[list[str]], None]]:
  return {
    "run": stages.run_command,
    "search": stages.search_command,
    "select": stages.select_command,
    "evaluate": stages.evaluate_command,
    "transfer": stages.transfer_command,
    "segment": stages.segment_command,
    "export": stages.export_command,
    "report": stages.report_command,
    "prepare": images.prepare_command,
    "plan": measures.plan_command,
    "bench": measures.bench_command,
    "analyze": measures.analyze_command,
    "genotype": lookups.genotype_command,
    "benchmark": lookups.benchmark_command,
    "claims": lookups.claims_command,
    "latency": measures.latency_command,
    "list": lookups.list_command,
  }


def _usage(commands: dict[str, Callable[[list[str]], None]]) -> str:
  lines = [f"usage: jnas COMMAND ...\n\n{_DESCRIPTION}\n\ncommands:"]
  for name, function in commands.items():
    doc = (function.__doc__ or "").splitlines()[0]
    lines.append(f"  {name:10s}{doc}")
  lines.append(
    "\n`jnas COMMAND --help` shows a command's options; --debug shows the "
    "traceback of an error."
  )
  return "\n".join(lines)


if __name__ == "__main__":
  main()
