#!/usr/bin/env bash
# torch 2.13.0: with torchrun --nnodes 1:2, an agent whose node became rank 0
# after a loss keeps its own address as that of the master when the lost node
# comes back as rank 0.
#
# Expected: after each round of the rendezvous all nodes have one MASTER_ADDR
# and MASTER_PORT.
# What happens: DynamicRendezvousHandler builds the address once and keeps it,
# but for a node that becomes rank 0. A node that was rank 0 alone and is rank
# 1 in the next round keeps the address of its own store.
# Why it matters: the ranks of both nodes wait for each other at different
# addresses until their time-out; elastic training goes from 2 nodes to 1, and
# never back to 2 when the node that comes back sorts first.
# What to do: set TORCH_DISABLE_SHARE_RDZV_TCP_STORE=1 for all agents.
# Seen with: torch 2.13.0 on the CPU, Python 3.11.
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"
python3 -m venv env
env/bin/pip install -qq --disable-pip-version-check torch==2.13.0 numpy
cat > rounds.py <<'EOF'
import sys
import time
from concurrent.futures import ThreadPoolExecutor

from torch.distributed import TCPStore
from torch.distributed.elastic.rendezvous import RendezvousParameters
from torch.distributed.elastic.rendezvous.c10d_rendezvous_backend import create_backend
from torch.distributed.elastic.rendezvous.dynamic_rendezvous import create_handler

server = TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False)


def agent(address):
    place = {"local_addr": address, "is_host": False, "last_call_timeout": 1, "keep_alive_interval": 1}
    found = RendezvousParameters("c10d", f"127.0.0.1:{server.port}", "job", 1, 2, **place)
    backend, store = create_backend(found)
    return create_handler(store, backend, found)


def meet(*agents):
    with ThreadPoolExecutor(len(agents)) as pool:
        infos = list(pool.map(lambda one: one.next_rendezvous(), agents))
    found = [(one.bootstrap_store_info.master_addr, one.bootstrap_store_info.master_port) for one in infos]
    for info, (address, port) in zip(infos, found):
        print(f"  rank {info.rank} of {info.world_size}: master at {address}, port {port}")
    return len(set(found)) == 1


first, second = agent("127.0.0.1"), agent("127.0.0.2")
agree = [meet(first, second)]
first._stop_heartbeats()  # as if its host were lost
time.sleep(5)
agree += [meet(second), meet(second, agent("127.0.0.1"))]
sys.exit(agree != [True, True, sys.argv[1] == "agree"])
EOF
echo "by default"
env/bin/python -W ignore rounds.py differ 2> log || { cat log; echo "CHANGED"; exit 1; }
echo "with TORCH_DISABLE_SHARE_RDZV_TCP_STORE=1"
TORCH_DISABLE_SHARE_RDZV_TCP_STORE=1 env/bin/python -W ignore rounds.py agree 2> log || { cat log; echo "CHANGED"; exit 1; }
echo "AS STATED: a node that comes back as rank 0 is at another address than the one before believes"
