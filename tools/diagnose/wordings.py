"""The wordings of libraries and systems that name a cause."""

from __future__ import annotations

import re
from dataclasses import dataclass

from tools.diagnose.report import Code


@dataclass(frozen=True)
class Sign:
    """A wording that names its cause."""

    code: Code
    pattern: re.Pattern[str]
    confidence: float
    text: str


def _sign(code: Code, pattern: str, confidence: float, text: str) -> Sign:
    return Sign(code, re.compile(pattern, re.IGNORECASE), confidence, text)


GPU_GONE = re.compile(
    r"(?:CUDA|HIP|NPU|XPU|GPU) out of memory|torch\.(?:cuda\.)?OutOfMemoryError|"
    r"CUDA error(?: 2)?: out of memory|cuda failure (?:2 )?'?out of memory|"
    r"CU(?:BLAS|DNN)_STATUS_ALLOC_FAILED|MPS backend out of memory|cudaErrorMemoryAllocation|"
    r"CUDA_ERROR_OUT_OF_MEMORY|RESOURCE_EXHAUSTED: Out of memory|"
    r"cuda runtime error \(2\)|BFCArena[^\n]*Failed to allocate memory",
    re.IGNORECASE,
)
RAM_GONE = re.compile(
    r"DefaultCPUAllocator: (?:can't allocate memory|not enough memory)|\bMemoryError\b|"
    r"std::bad_alloc|oom[-_ ]?kill|Out of memory: Killed process|"
    r"exit(?:s|ed)?[ _-]?(?:code|status|with)[^\n]{0,24}(?:-9|\b137)\b|signal:? 9\b|\bSIGKILL\b|"
    r"^\s*Killed\s*$|^\w+: killed\s+\S|\b\d+ Killed\s+\S|killed by signal: Killed|"
    r"Cannot allocate memory|ArrayMemoryError|Unable to allocate [\d.]+ [MGT]iB|"
    r"crashed after using all available RAM|tried to allocate more memory than is available|"
    r"insufficient shared memory|^\s*(?:\w+: *)?Out of memory\b(?: at step \d+)?\.?\s*$",
    re.IGNORECASE | re.MULTILINE,
)
SIGNS: tuple[Sign, ...] = (
    _sign("driver_mismatch",
          r"driver (?:version is insufficient|on your system is too old)|"
          r"Driver/library version mismatch|"
          r"no kernel image is available|forward compatibility was attempted|"
          r"not compiled with CUDA enabled|CUDA driver initialization failed|"
          r"lib(?:cud(?:art|nn)|cublas|cusparse|nvrtc|nccl)[\w.]*: cannot open|"
          r"undefined symbol: \w*(?:cu|nv)\w+|"
          r"found no NVIDIA driver|nvrtc: error|CUDA error: (?:invalid device function|"
          r"system has unsupported display driver)|cuDNN (?:error: CUDNN_STATUS_NOT_INITIALIZED|"
          r"version mismatch)|CUDA Setup failed|"
          r"detected CUDA version \([\d.]+\) mismatches|PTX was compiled with an unsupported|"
          r"is not compatible with the current PyTorch installation|cudaErrorInsufficientDriver|"
          r"CUDA_ERROR_(?:NO_BINARY_FOR_GPU|UNSUPPORTED_PTX_VERSION)|"
          r"couldn't communicate with the NVIDIA driver|compiled without GPU support|"
          r"device kernel image is invalid",
          0.95, "The driver, CUDA and PyTorch on this machine do not fit each other."),
    _sign("gated_model",
          r"gated repo|GatedRepoError|Access to model[^\n]*is restricted|"
          r"awaiting a review|"
          r"(?:401|403) (?:Client Error|Forbidden|Unauthorized)(?![^\n]*(?:wandb|mlflow|github|"
          r"pypi|docker|comet|neptune))|"
          r"must (?:be authenticated|have access to it)|may be read only with its owners|"
          r"accept the (?:licen[cs]e|conditions)|Invalid user(?:name)? (?:token|or password)",
          0.95, "The model's owners let only those download it who accepted its licence."),
    _sign("gated_model",
          r"not a valid model identifier[^\n]*|If this is a private repository", 0.55,
          "The name of the model is wrong, or the model is private or gated."),
    _sign("disk_full",
          r"No space left on device|Errno 28\b|\bENOSPC\b|Disk quota exceeded|\bEDQUOT\b|"
          r"database or disk is full|disk that holds[^\n]*is full|"
          r"not enough (?:free )?(?:disk )?space|"
          r"PytorchStreamWriter failed|inline_container\.cc[^\n]*unexpected pos|"
          r"os error 28|There is not enough space on the disk",
          0.96, "The disk is full."),
    _sign("bad_checkpoint",
          r"HeaderTooLarge|SafetensorError|InvalidHeaderDeserialization|MetadataIncompleteBuffer|"
          r"header too (?:large|small)|PytorchStreamReader failed|"
          r"failed finding central directory|unexpected (?:EOF|end of file)[^\n]*|"
          r"checkpoint[^\n]{0,60}\b(?:(?:is|was|are|seems|be) (?:corrupt\w*|damaged|broken|"
          r"incomplete|"
          r"truncated|not valid)|do(?:es)? not match)|digest[^\n]{0,30}does not match|"
          r"(?:corrupt\w*|damaged|broken|truncated) checkpoint|"
          r"trainer_state\.json[^\n]*(?:No such file|not found|JSONDecodeError)|"
          r"Can't find a valid checkpoint|invalid load key|Ran out of input|UnpicklingError|"
          r"pickle data was truncated|invalid magic number|has wrong byte size|"
          r"Unable to load weights from (?:pytorch )?checkpoint|"
          r"no file named (?:pytorch_model|model|adapter_model)|"
          r"optimizer state[^\n]*(?:doesn't|does not) match|EOFError: Ran out",
          0.93, "A checkpoint cannot be read back."),
    _sign("adapter_not_applied",
          r"Found missing adapter keys|missing adapter keys|"
          r"(?:Target modules|target_modules)[^\n]*not found in the base model|"
          r"No(?:ne of the)? (?:LoRA|adapter) (?:weights|keys)[^\n]*(?:loaded|matched|found)|"
          r"unexpected (?:adapter )?keys?[^\n]*lora|"
          r"loading adapter weights[^\n]*led to (?:unexpected|missing) keys|adapter has no effect|"
          r"Some weights of[^\n]*lora[^\n]*newly initialized",
          0.9, "The adapter's weights did not reach the model they were made for."),
    _sign("merge_loss",
          r"Merg(?:e|ing)[^\n]*(?:4|8)-?bit[^\n]*(?:rounding|different generations|loss)|"
          r"merge lora module to (?:4|8)-bit|merged does not say what the tuned",
          0.85, "The adapter was merged into quantised weights, which rounds it away."),
    _sign("quantisation_loss", r"onnx_int4 does not say what the tuned", 0.92,
          "The four-bit model does not say what the tuned one says."),
    _sign("nan_loss",
          r"['\"]?(?:train_|eval_)?loss['\"]?\s*[:=]\s*['\"]?(?:nan|inf)\b|"
          r"loss (?:became|is) (?:nan|inf)|contains? (?:nan|inf)|"
          r"returned nan values|Minimum loss scale reached|reducing loss scale to 0(?:\.0)?\b|"
          r"non-?finite (?:loss|grad)|loss is not finite|"
          r"Attempting to unscale FP16 gradients|probability tensor contains",
          0.88, "A loss or gradient is not a number."),
    _sign("empty_mask",
          r"all labels? (?:in (?:your|the) dataset )?(?:are|is|were|will be) (?:-100|masked|"
          r"ignored)|"
          r"Could not find (?:response key|instruction key)[^\n]*|"
          r"will be ignored in loss calculation|every label is masked|"
          r"(?:no|zero|0) (?:trainable|valid (?:target|label)) tokens",
          0.9, "The mask leaves nothing of the answers to train on."),
    _sign("zero_loss", r"loss is exactly 0\.0|['\"]loss['\"]: 0\.0\b[^\n]*['\"]grad_norm['\"]: "
          r"(?:0\.0|nan)",
          0.8, "The loss is exactly zero."),
    _sign("truncation", r"sequence length is longer than the specified maximum", 0.4,
          "A row is longer than the model allows."),
    _sign("truncation",
          r"\d+ rows were longer than the limit|Truncat(?:ed|ing) \d+|"
          r"(?:Dropped|Dropping|Removed|Skipped) \d+[^\n]*(?:longer than|exceed\w*)",
          0.6, "Rows are longer than the model or the limit allows."),
    _sign("pad_eos_confusion",
          r"pad[ _]?token[^\n]{0,80}eos[^\n]*(?:(?:not|never) (?:learn|stop|generate)|masked|"
          r"ignored in the loss|endless)", 0.8,
          "The padding token is the end token, and masking padding masks the end as well."),
    _sign("tokenizer_bound", r"tokeni[sz](?:ing|er|ation)\b[^\n]*<\d+:\d\d:\d\d\b", 0.7,
          "Turning rows into tokens takes hours."),
    _sign("tokenizer_bound", r"using the [`'\"]?slow[`'\"]? tokenizer", 0.4,
          "The tokenizer is the slow one, written in Python."),
    _sign("loader_bound", r"DataLoader worker[^\n]*(?:slow|bottleneck)|"
          r"input pipeline[^\n]*bottleneck|data loading is the bottleneck", 0.75,
          "Batches come too slowly."),
)  # fmt: skip
