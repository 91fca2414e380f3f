"""Writes the logits that llama.cpp computes for some tokens: little-endian f32, position by position.

Usage: llama_cpp_logits.py MODEL.gguf OUT TOKEN...
Needs the Python package llama-cpp-python.
"""

import sys

import llama_cpp
import numpy

model, out, tokens = sys.argv[1], sys.argv[2], [int(token) for token in sys.argv[3:]]
llama = llama_cpp.Llama(
    model_path=model,
    n_ctx=max(64, len(tokens)),
    n_batch=len(tokens),
    logits_all=True,
    verbose=False,
    n_gpu_layers=0,
    # Keys and values in f32, as here; they are f16 by default.
    type_k=llama_cpp.GGML_TYPE_F32,
    type_v=llama_cpp.GGML_TYPE_F32,
)
llama.eval(tokens)
numpy.asarray(llama.scores[: len(tokens)], dtype="<f4").tofile(out)
