from __future__ import annotations

import shlex

import click
import pytest

from penstock.cli.run.gnu_options import QUIET, REFUSED, SPELLINGS
from penstock.cli.run.run import command as run
from penstock.cli.run.submit import command as submit

NAMES = shlex.split("""
--_parset --_pipe-means-argfiles --_test --arg-file --arg-file-sep --arg-sep --argfile --argfilesep --argsep --bar
--basefile --basenameextensionreplace --basenamereplace --bf --bg --bin --block --block-size --block-timeout
--blocksize --blocktimeout --bner --bnr --bt --bug --cat --cf --cleanup --col-sep --color --color-fail --color-failed
--colorfail --colorfailed --colour --colour-fail --colour-failed --colourfail --colourfailed --colsep --compress
--compress-program --compressprogram --controlmaster --csv --ctag --ctag-string --ctagstring --ctrl-c --ctrlc --debug
--decompress-program --decompressprogram --delay --delimiter --dirnamereplace --dnr --dr --dry-run --dryrun --embed
--env --eof --er --eta --exit --extensionreplace --fg --fifo --files --filter --filter-host --filter-hosts
--filterhosts --gnu --group --group-by --groupby --halt --halt-on-error --hashbang --header --hgrp --hostgroup
--hostgroups --hostgrp --id --interactive --jl --joblog --jobs --keep-order --keeporder --latest-line --latestline
--lb --limit --line-buffer --line-buffered --linebuffer --linebuffered --link --linkinputsource --ll --load --max-args
--max-chars --max-line-length-allowed --max-lines --max-procs --max-replace-args --maxargs --maxchars
--maxlinelengthallowed --maxlines --maxprocs --maxreplaceargs --memfree --memsuspend --min-version --minversion --nice
--nn --no-ctrl-c --no-ctrlc --no-k --no-keep-order --no-notice --no-run-if-empty --noctrlc --nok --nokeeporder
--nonall --nonotice --norunifempty --noswap --null --number-of-cores --number-of-cpus --number-of-sockets
--number-of-threads --numberofcores --numberofcpus --numberofsockets --numberofthreads --onall --open-tty
--output-as-files --outputasfiles --parens --pipe --pipe-part --pipepart --plain --plus --process-slot-var
--processslotvar --profile --progress --quote --recend --record-env --recordenv --recstart --regex --regexp
--remove-rec-sep --removerecsep --replace --res --result --results --resume --resume-failed --resumefailed --retries
--retry-failed --retryfailed --return --round --round-robin --roundrobin --rpl --rrs --rsync-opts --rsyncopts
--semaphore --semaphore-name --semaphore-timeout --semaphorename --semaphoretimeout --seqreplace --session --shard
--shebang --shebang-wrap --shell-completion --shell-quote --shell_quote --shellcompletion --shellquote --show-limits
--showlimits --shuf --silent --skip-first-line --skipfirstline --slf --slotreplace --spreadstdin --sql
--sql-and-worker --sql-master --sql-worker --sqlandworker --sqlmaster --sqlworker --ssh --ssh-delay --sshdelay
--sshlogin --sshloginfile --st --tag --tag-string --tagstring --tee --tempdir --template --term-seq --termseq --tf
--timeout --tmpdir --tmpl --tmux --tmux-pane --tmuxpane --tollef --total --total-jobs --totaljobs --transfer
--transfer-file --transfer-files --transferfile --transferfiles --trc --trim --tty --ungroup --use-compress-program
--use-cores-instead-of-threads --use-cpus-instead-of-cores --use-decompress-program --use-sockets-instead-of-threads
--usecompressprogram --usecoresinsteadofthreads --usecpusinsteadofcores --usedecompressprogram
--usesocketsinsteadofthreads --verbose --version --wait --wd --will-cite --willcite --work-dir --workdir --xapply
--xapplyinputsource --xargs -0 -B -C -D -E -H -I -J -L -M -N -P -S -T -U -V -W -X -Y -a -d -e -g -i -j -k -l -m -n -o
-p -q -r -s -t -u -v -x
""")
"""Every option of GNU parallel 20221122, by its manual and its source, but --help."""

OWN = "own"


def what_becomes_of(command: click.Command, name: str) -> str:
    """It is the command's own, accepted, or refused with what to use instead."""
    own = {opt for param in command.params for opt in (*param.opts, *param.secondary_opts)}
    if name in own or any(ours in own and name in names.split() for ours, names in SPELLINGS.items()):
        return OWN
    for known in (*QUIET, *REFUSED):
        if name in known.names.split():
            return known.instead or "accepted"
    return "unknown"


def words(command: click.Command, name: str) -> list[str]:
    """A line with this option and a value, if it takes one."""
    option = next(param for param in command.get_params(click.Context(command)) if name in param.opts)
    assert isinstance(option, click.Option)
    return [name, *([] if option.is_flag else ["x"]), "echo", ":::", "a"]


@pytest.mark.parametrize("command", [run, submit])
@pytest.mark.parametrize("name", NAMES)
def test_every_option_of_gnu_parallel_is_known(command: click.Command, name: str) -> None:
    """It works, changes nothing and is accepted, or is refused by its name with what to use instead."""
    becomes = what_becomes_of(command, name)
    assert becomes != "unknown"
    if becomes == OWN:
        return
    if becomes == "accepted":
        assert command.make_context(command.name, words(command, name)).params["words"] == ("echo", ":::", "a")
        return
    with pytest.raises(click.UsageError) as error:
        command.make_context(command.name, words(command, name))
    assert error.value.format_message() == f"{name}, of GNU parallel, is not an option here: {becomes}"
    assert not isinstance(error.value, click.NoSuchOption)


@pytest.mark.parametrize(
    "words", [["-l"], ["-l5", "echo"], ["-i"], ["-i,,", "echo"], ["--replace"], ["--sshlogin=a", "x"]]
)
def test_what_is_refused_is_so_with_and_without_a_value(words: list[str]) -> None:
    """Some may have one or not; a missing one is not what is complained of."""
    with pytest.raises(click.UsageError, match="of GNU parallel, is not an option here"):
        run.make_context("run", words)


@pytest.mark.parametrize(
    ("words", "name", "value"),
    [
        (["-P", "3"], "at_once", ("3",)),
        (["--max-procs=3"], "at_once", ("3",)),
        (["--xapply"], "link", True),
        (["--wd", "/"], "cwd", "/"),
        (["--linebuffer"], "live", True),
        (["--jl", "log"], "joblog", "log"),
        (["-q"], "shell", False),
        (["--argfile", "a", "-a", "b"], "files", ("a", "b")),
    ],
)
def test_another_spelling_is_the_same_option(words: list[str], name: str, value: object) -> None:
    """As in GNU parallel and xargs."""
    assert run.make_context("run", [*words, "echo", ":::", "a"]).params[name] == value


def test_the_help_has_no_option_that_is_not_built() -> None:
    """Those that are accepted or refused are for scripts that have them already."""
    text = run.get_help(click.Context(run, info_name="run"))
    assert "--tagstring" in text
    assert "--sshlogin" not in text
    assert "--will-cite" not in text
