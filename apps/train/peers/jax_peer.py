"""The same training step in JAX, for `bootllm-train bench --against`.

It takes the shape as arguments, prints "ready" when the step is compiled, and then, for every line
that it reads, makes one step and prints the seconds that it took. Needs jax (`pip install jax`).
"""

import argparse
import sys
import time

import jax
import jax.numpy as jnp

parser = argparse.ArgumentParser()
for name in "dim layers heads kv_heads hidden vocabulary sequences sequence".split():
    parser.add_argument("--" + name, type=int, required=True)
shape = parser.parse_args()
head = shape.dim // shape.heads
group = shape.heads // shape.kv_heads


def init(key):
    """Weights as bootllm-train begins with them; layers are stacked along the first axis."""
    layers, dim, hidden, kv = shape.layers, shape.dim, shape.hidden, shape.kv_heads * head
    small = 0.02 / (2 * layers) ** 0.5
    sizes = {
        "embedding": ((shape.vocabulary, dim), 0.02),
        "query": ((layers, dim, dim), 0.02),
        "key": ((layers, dim, kv), 0.02),
        "value": ((layers, dim, kv), 0.02),
        "out": ((layers, dim, dim), small),
        "gate": ((layers, dim, hidden), 0.02),
        "up": ((layers, dim, hidden), 0.02),
        "down": ((layers, hidden, dim), small),
    }
    keys = jax.random.split(key, len(sizes))
    weights = {
        name: deviation * jax.random.normal(key, size)
        for key, (name, (size, deviation)) in zip(keys, sizes.items())
    }
    norms = {"attention_norm": (layers, dim), "feed_forward_norm": (layers, dim), "norm": (dim,)}
    return weights | {name: jnp.ones(size) for name, size in norms.items()}


def rms_norm(x, w):
    return x * jax.lax.rsqrt(jnp.mean(x * x, -1, keepdims=True) + 1e-5) * w


def rope(x):
    """x (batch, position, head, values), adjacent pairs turned."""
    position = jnp.arange(x.shape[1], dtype=jnp.float32)
    angle = position[:, None] * 10000.0 ** (-jnp.arange(0, head, 2) / head)
    cos, sin = jnp.cos(angle)[:, None], jnp.sin(angle)[:, None]
    a, b = x[..., ::2], x[..., 1::2]
    return jnp.stack([a * cos - b * sin, a * sin + b * cos], -1).reshape(x.shape)


def layer(x, w):
    batch, length, dim = x.shape
    normed = rms_norm(x, w["attention_norm"])
    q = rope((normed @ w["query"]).reshape(batch, length, shape.heads, head))
    k = rope((normed @ w["key"]).reshape(batch, length, shape.kv_heads, head))
    v = (normed @ w["value"]).reshape(batch, length, shape.kv_heads, head)
    q = q.reshape(batch, length, shape.kv_heads, group, head)
    scores = jnp.einsum("bikgh,bjkh->bkgij", q, k) / head**0.5
    seen = jnp.tril(jnp.ones((length, length), bool))
    weights = jax.nn.softmax(jnp.where(seen, scores, -jnp.inf), axis=-1)
    attended = jnp.einsum("bkgij,bjkh->bikgh", weights, v).reshape(batch, length, dim)
    x = x + attended @ w["out"]
    normed = rms_norm(x, w["feed_forward_norm"])
    x = x + (jax.nn.silu(normed @ w["gate"]) * (normed @ w["up"])) @ w["down"]
    return x, None


def loss(w, tokens, targets):
    in_layers = {name: values for name, values in w.items() if name not in ("embedding", "norm")}
    x, _ = jax.lax.scan(layer, w["embedding"][tokens], in_layers)
    logits = rms_norm(x, w["norm"]) @ w["embedding"].T
    chosen = jnp.take_along_axis(logits, targets[..., None], -1)[..., 0]
    return jnp.mean(jax.nn.logsumexp(logits, axis=-1) - chosen)


def step(w, first, second, count, tokens, targets):
    value, gradients = jax.value_and_grad(loss)(w, tokens, targets)
    norm = jnp.sqrt(sum(jnp.sum(g * g) for g in jax.tree.leaves(gradients)))
    gradients = jax.tree.map(lambda g: g * jnp.minimum(1.0, 1.0 / norm), gradients)
    first = jax.tree.map(lambda m, g: 0.9 * m + 0.1 * g, first, gradients)
    second = jax.tree.map(lambda v, g: 0.95 * v + 0.05 * g * g, second, gradients)

    def update(w, m, v):
        m, v = m / (1 - 0.9**count), v / (1 - 0.95**count)
        return w - 1e-3 * (m / (jnp.sqrt(v) + 1e-8) + 0.1 * w)

    return jax.tree.map(update, w, first, second), first, second, value


def main():
    key = jax.random.key(1)
    w = init(key)
    zeros = jax.tree.map(jnp.zeros_like, w)
    size = (shape.sequences, shape.sequence)
    tokens = jax.random.randint(key, size, 0, shape.vocabulary)
    targets = jax.random.randint(jax.random.key(2), size, 0, shape.vocabulary)
    compiled = jax.jit(step, donate_argnums=(0, 1, 2))
    state = (w, zeros, jax.tree.map(jnp.zeros_like, w))
    count = 1
    *state, value = compiled(*state, float(count), tokens, targets)
    value.block_until_ready()
    print("ready", flush=True)
    for _ in sys.stdin:
        start, count = time.perf_counter(), count + 1
        *state, value = compiled(*state, float(count), tokens, targets)
        jax.block_until_ready((state, value))
        print(time.perf_counter() - start, flush=True)


main()
