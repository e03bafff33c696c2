"""Every option of GNU parallel 20221122 that `run` does not have under the same name: what it is called here, that it
changes nothing, or what to use instead. None is taken for another one by its beginning, and none passes unnoticed.

The names are those of its manual and of its source, other spellings included.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable
from typing import Any, NamedTuple

import click

SPELLINGS = {
    "--jobs": "-P --max-procs --maxprocs",
    "--link": "--xapply",
    "--cwd": "--wd --work-dir --workdir",
    "--colsep": "--col-sep",
    "--max-args": "--maxargs",
    "--max-chars": "--maxchars",
    "--arg-file": "--argfile",
    "--arg-sep": "--argsep",
    "--arg-file-sep": "--argfilesep",
    "--no-run-if-empty": "--norunifempty",
    "--skip-first-line": "--skipfirstline",
    "--extensionreplace": "--er",
    "--basenamereplace": "--bnr",
    "--dirnamereplace": "--dnr",
    "--basenameextensionreplace": "--bner",
    "--keep-order": "--keeporder",
    "--line-buffer": "--linebuffer --line-buffered --linebuffered",
    "--tagstring": "--tag-string",
    "--dry-run": "--dr",
    "--halt": "--halt-on-error --haltonerror",
    "--joblog": "--jl",
    "--results": "--res --result",
    "--resume-failed": "--resumefailed",
    "--block": "--blocksize",
    "-N": "--max-replace-args --maxreplaceargs",
    "--retry-failed": "--retryfailed",
    "--no-shell": "-q --quote",
}
"""Options that are here, and their other names."""


class Known(NamedTuple):
    """An option of GNU parallel by its names, and what to use instead."""

    names: str
    instead: str = ""
    takes_value: bool = False
    """Of one that is accepted; the others may have one or not."""


QUIET = (
    Known("--will-cite --willcite --nn --nonotice --no-notice --citation --bibtex"),
    Known("--gnu --plain --silent --group"),
    Known("--no-keep-order --nokeeporder --nok --no-k"),
    Known("--compress --controlmaster -M --cleanup"),
    Known("--use-sockets-instead-of-threads --usesocketsinsteadofthreads"),
    Known("--use-cores-instead-of-threads --usecoresinsteadofthreads"),
    Known("--use-cpus-instead-of-cores --usecpusinsteadofcores"),
    Known("--exit -x"),
    Known("--compress-program --compressprogram --use-compress-program --usecompressprogram", takes_value=True),
    Known("--decompress-program --decompressprogram --use-decompress-program --usedecompressprogram", takes_value=True),
    Known("--total-jobs --totaljobs --total", takes_value=True),
)
"""Accepted: they change nothing that a job does or prints."""

HOSTS = "workers on other hosts are started once, by `penstock fleet start HOSTS`; then run --url tcp://HEAD:5555"
FILES = "jobs use the files of their worker: use a shared folder, or copy them in the command itself (--shell)"
LIMITS = "start `penstock up`, and submit with --limit N: at most N jobs of the batch run at once"
STORE = "`penstock up` keeps jobs in its own store: `penstock submit`, and `penstock results --json`"
PIPES = "cut the input into files (split), and run over the files"
PERL = "there is no Perl here: use --plus, --rpl 'NAME s/A/B/', or compute it with --shell"
MACHINE = "`nproc` and `lscpu` show it, and `penstock workers` for workers"
SHOWN = "`penstock run` has it; of submitted jobs `penstock results --follow BATCH` shows the outcomes"

REFUSED = (
    Known("--sshlogin -S --sshloginfile --slf --ssh --ssh-delay --sshdelay", HOSTS),
    Known("--rsync-opts --rsyncopts", FILES),
    Known(
        "--filter-hosts --filterhosts --filter-host",
        "only hosts with a connected worker get jobs (`penstock workers` lists them)",
    ),
    Known(
        "--hostgroups --hgrp --hostgrp --hostgroup", "workers have tags: penstock worker --tag NAME, then --needs NAME"
    ),
    Known("--onall --nonall", "submit a job with --worker NAME for each name that `penstock workers` lists"),
    Known("--transfer", FILES),
    Known("--transferfile --transfer-file --transferfiles --transfer-files --tf", FILES),
    Known("--return --trc --basefile --bf", FILES),
    Known("--template --tmpl", "write the file in the command itself, with --shell"),
    Known(
        "--tmux --tmux-pane --tmuxpane --latest-line --latestline --ll",
        "--lb shows lines as they come, and `penstock top` what runs",
    ),
    Known("--semaphore --fg --bg --wait", LIMITS),
    Known("--semaphore-name --semaphorename --id --semaphore-timeout --semaphoretimeout --st", LIMITS),
    Known("--pipe-part --pipepart", PIPES),
    Known("--round-robin --roundrobin --round --tee --cat --fifo --regexp --regex", PIPES),
    Known("--remove-rec-sep --removerecsep --rrs --_pipe-means-argfiles", PIPES),
    Known("--block-timeout --blocktimeout --bt --group-by --groupby --shard --bin", PIPES),
    Known("--csv", "--colsep , for simple ones; a program that reads CSV for others"),
    Known("--sql --sql-master --sqlmaster --sql-worker --sqlworker --sql-and-worker --sqlandworker", STORE),
    Known("--tmpdir --tempdir", "set the variable TMPDIR"),
    Known("--output-as-files --outputasfiles --files", "--results DIR has a file for each job"),
    Known("--parens", PERL),
    Known("--filter", "filter the input before (grep, awk)"),
    Known(
        "--shell-quote --shellquote --shell_quote",
        "--shell quotes arguments, and without it they need no quotes; in bash there is printf %q",
    ),
    Known("--tty --open-tty -o", "jobs have no terminal: run the command itself, or use xargs -o"),
    Known("--interactive -p", "--dry-run shows the commands before anything runs"),
    Known("--color --colour --ctag", "--tag tells which job a line is from"),
    Known(
        "--color-failed --colour-failed --colorfailed --colourfailed"
        " --color-fail --colour-fail --colorfail --colourfail --cf",
        "`penstock results --failed` shows them",
    ),
    Known("--ctag-string --ctagstring", "write --tagstring TEXT"),
    Known("--term-seq --termseq", "jobs are ended by SIGTERM and, after --grace TIME, by SIGKILL"),
    Known("--memsuspend", "write --memfree SIZE"),
    Known("--noswap", "write --memfree SIZE or --load N"),
    Known("--process-slot-var --processslotvar", "{%} in the command, or PENSTOCK_SLOT in its environment (from 0)"),
    Known("--profile -J", "settings are in penstock.toml, job options on the command line"),
    Known("--record-env --recordenv --session", "write --env NAME for each variable and function that the jobs need"),
    Known("--linkinputsource --xapplyinputsource", ":::+ links an input to the one before it"),
    Known("--replace -i", "write -I TEXT ({} needs none)"),
    Known("--eof -e", "write -E TEXT"),
    Known("--max-lines --maxlines -l", "write -L N"),
    Known("--number-of-cpus --numberofcpus --number-of-cores --numberofcores", MACHINE),
    Known("--number-of-sockets --numberofsockets --number-of-threads --numberofthreads", MACHINE),
    Known("--max-line-length-allowed --maxlinelengthallowed --show-limits --showlimits", "`getconf ARG_MAX` shows it"),
    Known("--min-version --minversion", "`penstock --version` shows it"),
    Known("--version -V", "`penstock --version` shows it"),
    Known("--shebang --hashbang --shebang-wrap", "write a script that calls `penstock run`"),
    Known("--embed", "install penstock where it is used"),
    Known("--shell-completion --shellcompletion", "`penstock completion bash|zsh|fish`"),
    Known("--_parset --_test", "write the results to files, and read the files"),
    Known("--bug --tollef --ctrl-c --ctrlc --no-ctrl-c --no-ctrlc --noctrlc -T -Y -g", "GNU parallel has retired it"),
    Known("-D", "--debug shows tracebacks"),
    Known("-B -H -U -W", "GNU parallel has retired it"),
    Known("--delay --load --memfree --retry-failed --retryfailed", SHOWN),
    Known("-k --keep-order --keeporder --tag --tagstring --tag-string --ungroup -u -v -t --verbose", SHOWN),
    Known("--lb --line-buffer --line-buffered --linebuffer --linebuffered --bar --eta --progress", SHOWN),
    Known("--dry-run --dryrun --dr --halt --halt-on-error --haltonerror --joblog --jl", SHOWN),
    Known("--results --result --res --resume --resume-failed --resumefailed", SHOWN),
)
"""Not built. What a command has itself is none of these."""


class Hidden(click.Option):
    """An option of GNU parallel that is not in the help."""

    def __init__(self, number: int, name: str, known: Known) -> None:
        """Only one of its names."""
        self._instead = known.instead
        takes_value = known.takes_value or bool(known.instead)
        super().__init__(
            [f"gnu_{number}", name],
            hidden=True,
            expose_value=False,
            is_flag=not takes_value,
            # what is refused is so also without the value that it needs, or with one that it may have
            flag_value="" if known.instead else None,
            default=None,
            callback=self._refuse if known.instead else None,
            is_eager=True,
        )

    def _refuse(self, context: click.Context, _: click.Parameter, value: Any) -> None:
        if value is not None:
            raise click.UsageError(f"{self.opts[0]}, of GNU parallel, is not an option here: {self._instead}", context)


def hidden_options(own: Iterable[click.Parameter]) -> list[click.Option]:
    """Those that a command with these parameters lacks."""
    known = {name for param in own for name in (*param.opts, *param.secondary_opts)}
    found: list[click.Option] = []
    for entry in (*QUIET, *REFUSED):
        names = [name for name in entry.names.split() if name not in known]
        found += [Hidden(len(found) + at, name, entry) for at, name in enumerate(names)]
    return found


def spelled(own: Iterable[click.Parameter]) -> list[click.Option]:
    """The same options under their other names."""
    options = {
        name: param for param in own if isinstance(param, click.Option) for name in (*param.opts, *param.secondary_opts)
    }
    found: list[click.Option] = []
    for ours, names in SPELLINGS.items():
        if (option := options.get(ours)) is not None:
            twin = copy.copy(option)
            others = [name for name in names.split() if name not in options]
            twin.opts, twin.secondary_opts = ([], others) if ours in option.secondary_opts else (others, [])
            found.append(twin)
    return found
