#!/usr/bin/env bash
# gymnasium 1.4.0: vector environments return one made-up transition after each
# episode.
#
# Expected: every call of step on a vector environment is a step of each
# environment: the action is taken and earns a reward.
# What happens: the default autoreset mode is NEXT_STEP. In the call after an
# end that environment ignores its action, resets, and returns a reward of 0
# with neither flag set. A loop that stores (observation, action, reward, next
# observation) gets a transition from the last state of one episode to the
# first state of the next one.
# Why it matters: a Q-network then learns that failing leads to a fresh start.
# CartPole episodes are short in the beginning, so that several percent of a
# replay buffer are such rows. Counts of steps and mean rewards are off too.
# What to do: skip a row where the step before was terminated or truncated, or
# make the environment with autoreset_mode SAME_STEP and take the last
# observation from the info.
# Seen with: gymnasium 1.4.0, Python 3.11.
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"
python3 -m venv env
env/bin/pip install -qq --disable-pip-version-check gymnasium==1.4.0 numpy==2.4.6
env/bin/python -W ignore - <<'EOF'
import gymnasium as gym
import numpy as np

envs = gym.make_vec("CartPole-v1", num_envs=4, vectorization_mode="sync")
print(f"autoreset mode: {envs.metadata['autoreset_mode'].name}")
now, _ = envs.reset(seed=0)
chance = np.random.default_rng(0)
ended = np.zeros(4, dtype=bool)
rewards = {False: set(), True: set()}
flags, falls, rows, made_up = set(), [], 0, 0
for _ in range(500):
    then, reward, terminated, truncated, _ = envs.step(chance.integers(0, 2, 4))
    for at in range(4):
        rows += 1
        made_up += int(ended[at])
        rewards[bool(ended[at])].add(float(reward[at]))
        if ended[at]:
            flags.add(bool(terminated[at] or truncated[at]))
            falls.append((abs(float(now[at][2])), abs(float(then[at][2]))))
    ended = terminated | truncated
    now = then

print(f"rewards of real steps {rewards[False]}, of the step after an end {rewards[True]}, its flags {flags}")
before, after = zip(*falls, strict=True)
print(f"angle of the pole in such rows: {min(before):.2f} and more before, {max(after):.2f} at most after")
print(f"made-up rows: {made_up} of {rows}")
leap = min(before) > 0.2 and max(after) < 0.051
if not (rewards == {False: {1.0}, True: {0.0}} and flags == {False} and leap and made_up > rows * 0.02):
    raise SystemExit("CHANGED")
print("AS STATED: the step after an end joins two episodes, with reward 0")
EOF
