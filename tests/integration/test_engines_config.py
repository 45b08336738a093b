"""What a run over several processes is launched with, read by the engines' own parsers."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.jobs_factory import make_spec_alone
from tools.context import Context

pytestmark = pytest.mark.integration

_CHECK = """
import sys
from tests.jobs_factory import make_spec_alone
from tools.errors import Refused, ToolError
from tools.settings import read_settings
from tools.work.engines import (check_engine, check_started, deepspeed_config, fsdp_config,
                                trainer_options)
from tools.work.launching import launch_command

def refused(work):
    try:
        work()
    except ToolError as error:
        return str(error)
    raise SystemExit("was not refused")

from accelerate.utils import FullyShardedDataParallelPlugin
from transformers import TrainingArguments
spec = make_spec_alone(engine="fsdp", processes=2, device="cuda", offload="parameters")
plugin = FullyShardedDataParallelPlugin(
    fsdp_version=fsdp_config(spec)["version"],
    auto_wrap_policy=fsdp_config(spec)["auto_wrap_policy"].lower(),
    state_dict_type=fsdp_config(spec)["state_dict_type"],
    cpu_offload=fsdp_config(spec)["cpu_offload"],
    reshard_after_forward=fsdp_config(spec)["reshard_after_forward"],
)
assert plugin.fsdp_version == 2
assert plugin.cpu_offload
args = TrainingArguments(
    output_dir=sys.argv[1], use_cpu=True, report_to=[], **trainer_options(spec)
)
assert args.fsdp_plugin_args["fsdp_version"] == 2
assert args.fsdp_plugin_args["cpu_offload"] is True
assert "GPU" in refused(lambda: check_engine(make_spec_alone(engine="fsdp", processes=2)))

two = make_spec_alone(engine="ddp", processes=2, nodes=2)
alone = read_settings({"LUTHIER_HOME": sys.argv[1], "HOME": sys.argv[1]})
assert "LUTHIER_RENDEZVOUS" in refused(lambda: launch_command(alone, two, "run-1"))
meeting = alone.model_copy(update={"rendezvous": "first.example:29400"})
from torch.distributed.run import config_from_args, parse_args
config, command, arguments = config_from_args(parse_args(launch_command(meeting, two, "run-1")[4:]))
assert (config.min_nodes, config.max_nodes, config.nproc_per_node) == (2, 2, 2)
assert config.rdzv_endpoint == "first.example:29400"
assert config.run_id == "run-1"
assert arguments[-1] == "run-1"

class Accelerator:
    num_processes, distributed_type = 1, "NO"
assert "1 came up as NO" in refused(lambda: check_started(two, Accelerator))
Accelerator.num_processes, Accelerator.distributed_type = 4, "MULTI_CPU"
check_started(two, Accelerator)
sharded = two.model_copy(update={"engine": "fsdp"})
assert "MULTI_CPU" in refused(lambda: check_started(sharded, Accelerator))
"""

_DEEPSPEED = """
import sys, types
from tests.jobs_factory import make_spec_alone
from tools.work.engines import deepspeed_config
from deepspeed.runtime.zero.config import get_zero_config
cases = (("zero1", "none", 1), ("zero2", "optimizer", 2), ("zero3", "parameters", 3))
for engine, offload, stage in cases:
    config = deepspeed_config(make_spec_alone(engine=engine, offload=offload, processes=2))
    zero = get_zero_config(config)
    assert zero.stage == stage
    assert (zero.offload_optimizer is not None) == (offload != "none")
    assert (zero.offload_param is not None) == (offload == "parameters")
"""


def _run(code: str, folder: Path) -> None:
    # In a process of its own: this half imports torch.
    root = Path(__file__).parents[2]
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code, str(folder)],
        cwd=root, capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]


def test_fsdp_machines_and_the_check_after_the_start(tmp_path: Path) -> None:
    _run(_CHECK, tmp_path)


def test_deepspeed_reads_the_configuration_that_is_written_for_it(tmp_path: Path) -> None:
    pytest.importorskip("deepspeed", reason="the extra `deepspeed` is not installed")
    _run(_DEEPSPEED, tmp_path)


def test_a_worker_tells_its_ranks_where_the_machines_meet(ctx: Context) -> None:
    settings = ctx.settings.model_copy(update={"rendezvous": "first.example:29400"})
    assert settings.worker_environment()["LUTHIER_RENDEZVOUS"] == "first.example:29400"
    assert make_spec_alone(nodes=2).nodes == 2
