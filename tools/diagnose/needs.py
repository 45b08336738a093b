"""Which evidence each cause is read from: for the page on events, and for people who write them."""

from __future__ import annotations

from tools.diagnose.report import Code

READ_FROM: dict[Code, str] = {
    "overfitting": "`metrics`: `loss` and `eval_loss` by step, three evaluations or more",
    "underfitting": "`metrics`: `loss`, `eval_loss`; `judged`: `accuracy`, `base_accuracy`",
    "lr_too_high": "`metrics`: `loss`, `grad_norm`; settings: `learning_rate`, `method`; "
    "`setup`: `parameters`",
    "lr_too_low": "`metrics`: `loss`; settings: `learning_rate`, `method`; `setup`: `parameters`",
    "divergence": "`metrics`: `loss`",
    "nan_loss": "`metrics`: `not_finite`, or a loss written as NaN; settings: `precision`; the log",
    "zero_loss": "`metrics`: `loss` exactly 0",
    "constant_loss": "`metrics`: `loss` or `eval_loss` that never moves, `grad_norm` 0, "
    "`learning_rate` 0",
    "empty_mask": "`data` (or gate `labels`): `trained_token_share` 0, `answers_trained_share` 0",
    "wrong_mask": "`data` (or gate `labels`): `trained_token_share`, `prompts_trained_share`, "
    "`answers_trained_share`",
    "untrained_stop": "`data`: `stop_trained_share` (gate `labels`: `rows_that_stop`); `sample`: "
    "`stopped` after training; `judged`: `answers_stopped_share`",
    "template_mismatch": "`setup` and `judged`: `template_hash`; `sample`: marks of a template in "
    "answers; `judged`: `eval_loss` far above that of training",
    "pad_eos_confusion": "`setup`: `pad_token_id`, `stop_token_ids`; `data`: `stop_trained_share`",
    "truncation": "`data`: `truncated_share`, `answers_cut_share`, `tokens_p95`; gate `labels`: "
    "`rows_cut`; settings: `max_length`",
    "label_noise": "`data`: `predictable`, `majority_share`, `doubtful_share`, `conflicting_rows`",
    "leakage": "`data`: `overlap_rows`, `eval_rows`, `answer_in_input_share`; `judged`: `excluded`",
    "class_collapse": "`judged`: `predictions`, `expected`, or `accuracy`, `macro_f1`, "
    "`majority_share`",
    "forgetting": "`judged`: `general_loss`, `base_general_loss` or `general_loss_rise`",
    "eval_shift": "`data`: `label_counts`, `eval_label_counts`, `unseen_words_share`, "
    "`tokens_p50`, `eval_tokens_p50`; `metrics`: a gap from the first evaluation on",
    "oom_gpu": "the log, or `error`: what CUDA says",
    "oom_ram": "the log, or `error`: what the system says; a job lost near its limit",
    "oom_eval": "the log's traceback, or the `phase` that it ended in",
    "oom_checkpoint": "the log's traceback, or the `phase` that it ended in",
    "memory_growth": "`metrics`: `memory_gib` by step, eight or more",
    "fragmentation": "`metrics`: `memory_reserved_gib` beside `memory_gib`; the log",
    "padding_waste": "`metrics` or `data`: `padding_share`",
    "loader_bound": "`metrics`: `data_wait_share`; `timing`: `data_wait_s`, `train_s`",
    "tokenizer_bound": "`timing` or `data`: `tokenize_s`; `timing`: `train_s`",
    "no_mixed_precision": "settings: `precision`, `device`; `setup`: `bfloat16`",
    "eval_dominates": "`metrics`: `eval_s`; `timing`: `eval_s`, `train_s`",
    "tiny_batch": "settings: `batch_size`, `gradient_accumulation`; `metrics`: `gpu_utilization`, "
    "`memory_gib`, `memory_limit_gib`, the noise of `loss`",
    "disk_full": "the log, or `error`",
    "bad_checkpoint": "the log, or `error`",
    "adapter_not_applied": "`judged`: `adapter_effect`, or `eval_loss` equal to `base_eval_loss`; "
    "gate `parity`: `base_moved`; the log",
    "merge_loss": "gate `parity`: `merged_agreement`, `merged_logit_error`, `merged_loss`, "
    "`merged_reference_loss`; the log",
    "quantisation_loss": "gate `parity`: `onnx_int4_agreement`, `onnx_int4_loss`, "
    "`onnx_int4_reference_loss`",
    "gated_model": "the log, or `error`",
    "driver_mismatch": "the log, or `error`",
}

GATES: dict[str, dict[str, str]] = {
    "labels": {
        "rows": "Rows that are trained on.",
        "trained_token_share": "Tokens that count in the loss, of those after a row's first.",
        "rows_cut": "Rows that were longer than the limit.",
        "rows_dropped": "Rows that hold nothing to learn and were left out.",
        "rows_that_stop": "Share of the rows whose answer ends with a token that stops the model.",
    },
    "parity": {
        "base_moved": "Largest relative difference of logits between base and tuned model; 0 means "
        "that tuning has no effect.",
        "merged_agreement": "Answers on which the merged and the tuned model agree.",
        "merged_logit_error": "Largest relative difference of their logits.",
        "merged_loss": "Held-out loss of the merged model; `merged_reference_loss` that of the "
        "tuned one.",
        "onnx_int4_agreement": "The same of the four-bit export; `onnx_fp32_…` and `onnx_fp16_…` "
        "of the wider ones.",
        "onnx_int4_loss": "Held-out loss of that export; `onnx_int4_reference_loss` that of the "
        "tuned model.",
    },
}
"""Gate → what it measures, as far as a diagnosis reads it."""
