"""What odd command lines are made of; each is text as the shell would pass it, those without spaces listed by line."""

from __future__ import annotations

from metalstm import registry

GROUPS = {group: registry.settings_classes(group) for group in registry.GROUPS}


def listed(text: str, between: str | None = None) -> list[str]:
    """The words of a text, or what else stands between two of the same sign."""
    return text.split(between)


INTEGERS = [2**31 - 1, 2**31, 2**32, 2**53 + 1, 2**63 - 1, 2**63, 10**30, -(10**30), -(2**63)]
FLOATS = listed("""
    0.5 1e-5 -0.0 1e38 -1e38 1e300 1e400 1e-320 -1e-320 1e9 0x10 1_000 1e nan -nan NaN .nan inf -inf Infinity .inf +1 00
    1. .5 0.9999999999999999
""")
NOTHING = ["", *listed("""null None ~ ??? '' "" [] {} true false yes on""")]
NESTED = [
    *listed("""
    [1,2] [[[]]] [a,{b:c}] {a:1} {name:maml} {name:lstm,layers:1} {a:{b:[c]}} {a:1,a:2} [ ] { } {a [1,2 {a:} {:a} (1,2)
    a:b {1:2} {null:1}
    """),
    "[" * 300 + "]" * 300,
]
INTERPOLATED = listed(r"""
    ${ways} ${seed} ${learner.inner_lr} ${nothing} ${learner} ${dataset.name} ${} ${ $ ${oc.env:HOME} ${unknown:1}
    ${oc.env:NOT_THERE} ${oc.env:NOT_THERE,5} ${oc.select:nothing,5} ${now:%Y} ${hydra:runtime.cwd} ${hydra:nothing}
    ${oc.decode:'[1'} ${oc.create:{a:1}} ${cut:abc} ${cut:5} ${cut:} ${oc.dict.keys:learner} ${oc.deprecated:ways}
    a${ways}b \${ways}
""")
SWEPT = listed("""
    1,2 5, ,5 , 1,,2 a,b null,1 range(1,3) range(3,1) range(1,3,0) range(a,b) choice(1,2) choice() interval(0,1) glob(*)
    glob(s*) glob([) shuffle(1,2) sort(3,1) tag(a,1) int(a) int(5) int(nan) float(inf) str([1]) bool(maybe) nothing(1)
    shuffle(1,a) extend_list(1) json_str({a:1}) sort(1,a) choice(a,b 1,2,3
""")
QUOTED = ["a b", " a ", *listed(r"""'a' 'a "a a'b \ \' '\' a\=b a=b=c = == @ a@b a@b:c ! % #""")]
PATHS = [
    *("nul\0byte", "line\nbreak", "\udcff", "\udcff/x", "\x1b[31m", "a b", "'a b'", "x" * 100_000),
    *("a" * 300, "b/" * 50, "a/" * 3000),
    *listed("nowhere . /dev/null /dev/null/x file /proc/nothing/x file/x ~ ~/x ~nobody_by_that_name/x - --"),
    *listed("é ... empty loop loop/x ./. a//b a,b 5 null [a]"),
]
GROUP_CHOICES = [
    *[f"{group}={name}" for group, kinds in GROUPS.items() for name in kinds],
    *("dataset=nul\0", "override learner=maml"),
    *listed("""
    experiment=omniglot_5w1s experiment=sinusoid_5shot experiment=sinusoid_memory experiment=nothing experiment=
    experiment=[sinusoid_5shot,sinusoid_mlp] experiment=sinusoid_mlp learner=MAML model=gru dataset=../model/lstm
    learner=maml,anil learner=glob(*) learner=[maml,anil] learner=5 learner@model=maml +learner@other=maml ~learner
    ~learner=maml ~learner=anil +learner=anil dataset={} learner={name:maml} model=null dataset=true learner=nan
    experiment=null dataset=${learner} ++model=mlp learner/x=maml /learner=maml learner:x=maml dataset@_global_=glyphs
    learner=maml.yaml
    """),
]
HYDRA = listed("""
    hydra.run.dir=here hydra.run.dir=null hydra.run.dir=file/x hydra.sweep.dir=there hydra.sweep.subdir=x hydra=null
    hydra.sweep.dir=file/x hydra.output_subdir=x hydra.output_subdir=5 hydra.mode=MULTIRUN hydra.mode=nothing hydra=5
    hydra.verbose=true hydra.verbose=[nothing] hydra.verbose=5 hydra.job.chdir=true hydra.job.name=nothing ~hydra
    hydra.job.num=x hydra.nothing=1 ~hydra.run hydra.run=null hydra.job=null hydra/launcher=nothing hydra.launcher=null
    hydra/launcher=joblib hydra/sweeper=nothing hydra/help=nothing hydra.searchpath=[file://nowhere] hydra.job.id=5
    hydra.searchpath=[nothing://x] hydra.searchpath=5 hydra.sweeper=null hydra.sweeper.max_batch_size=0
    hydra.sweeper.max_batch_size=-1 hydra.sweeper.params={ways:3} hydra.callbacks=5 +hydra.sweeper.params.ways='2,3'
    hydra.job.env_set={a:5} hydra.job.env_copy=[NOT_THERE] hydra.job_logging=5 hydra/job_logging=default
    hydra/job_logging=disabled hydra/job_logging=nothing hydra/hydra_logging=default hydra.help.template=5
    hydra.run.dir=${nothing} hydra.job.config.override_dirname.exclude_keys=5
""")
FLAGS = [
    tuple(listed(flag))
    for flag in listed(
        """
        -m; --multirun; --cfg job; --cfg hydra; --cfg all; --cfg nothing; --cfg; --help; -h; --hydra-help; --version;
        --info; --info all; --info config; --info nothing; --resolve; --cfg job --resolve; --package learner; -x; -;
        --cfg job -p nothing; --config-name nothing; --config-name test; --config-name ../x; --config-dir nowhere;
        --config-dir empty; --config-dir; --config-path nowhere; --config-path pkg://nothing; --nothing; --run; -- -x;
        --experimental-rerun nowhere; --experimental-rerun file; --shell-completion; -sc nothing; -sc install=nothing;
        -c; -m --cfg job
        """,
        ";",
    )
]
