"""Commands on images."""

import json


def prepare_command(arguments: list[str]) -> None:
  """Makes files for streaming of ImageNet's folders."""
  from jnas.pipeline import prepare

  options = prepare.parse(arguments)
  result = prepare.run(options)
  if options.json:
    print(json.dumps(result))
  else:
    print(prepare.describe(result, options))
