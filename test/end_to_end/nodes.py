"""Programs on machines with several nodes of memory: described ones here, and a real one of two nodes that qemu emulates.

The described ones are files mounted over those in which the kernel tells its nodes, where this user may do that. For the
emulated one `test/setup.sh --tests --all` fetches a kernel; it is booted where that was done and MOEC_TEST_ALL=1 is set.
"""

import json
import os
import re
import shlex
import shutil
import sys

from safetensors.numpy import load_file

from programs import ALL, GOLDEN, MOEC, TEST, Checks, compile_model, evaluate, run, succeed

POLICIES = ["split", "interleave", "off"]
CPUS = sorted(os.sched_getaffinity(0))
FILES = TEST / "end_to_end/two_nodes"
MACHINE = TEST.parent / "build/two-nodes"  # an unpacked kernel
PAGE, PANEL_ROWS = 4096, 48


def described(program, folder, cpulists):
    """A script that runs `program` where the kernel seems to have one node for each list of CPUs."""
    system = folder / "system"
    system.mkdir(exist_ok=True)
    every = f"0-{len(cpulists) - 1}\n"
    for name in ("online", "has_memory"):
        (system / name).write_text(every)
    for node, cpus in enumerate(cpulists):
        (system / f"node{node}").mkdir(exist_ok=True)
        (system / f"node{node}/cpulist").write_text(cpus + "\n")
    (folder / "status").write_text(f"Name:\tdescribed\nMems_allowed_list:\t{every}")
    inside = (f"mount --bind {shlex.quote(str(system))} /sys/devices/system/node && "
              f"mount --bind {shlex.quote(str(folder / 'status'))} /proc/$$/status && "
              f'exec {shlex.quote(str(program))} "$@"')
    script = folder / "on-nodes"
    script.write_text(f'#!/bin/sh\nexec unshare --map-root-user --mount sh -c {shlex.quote(inside)} sh "$@"\n')
    script.chmod(0o755)
    return script


def check_described(checks, folder):
    """The same bytes by each policy, on one node and on two, one of which this machine may not really have."""
    case = "qwen3_moe_bf16"
    source = GOLDEN / case / "golden.safetensors"
    ask = ["--routing", "--greedy", str(len(load_file(source)["seq0.greedy_ids"]))]
    for mode in ("pack", "embed", "map"):
        program = compile_model(GOLDEN / case, folder / f"program-{mode}", f"--weights={mode}")
        first = evaluate(program, source, folder / "first.safetensors", *ask, "--threads", "1").read_bytes()
        two = described(program, folder, [f"{CPUS[0]}", ",".join(map(str, CPUS[1:]))])
        places = {"here": program}
        if run(two, "inspect").returncode == 0:
            places["on two nodes"] = two
        else:
            print("not run: described nodes, which this user may not mount")
        for place, command in places.items():
            for policy in POLICIES:
                for threads in ("2", "5"):
                    way = ["--numa", policy, "--threads", threads]
                    other = evaluate(command, source, folder / "other.safetensors", *ask, *way)
                    checks.that(other.read_bytes() == first, f"{mode} {place}: {' '.join(way)} gives other bytes")
        for policy in POLICIES:
            done = run(places.get("on two nodes", program), "--threads", "2", f"--numa={policy}", "--raw", "--max-tokens", "2", "a")
            notices = done.stderr.count(b"notice: ")
            checks.that(done.returncode == 0 and notices == done.stderr.count(b"\n") <= 1,
                        f"{mode} {policy}: status {done.returncode}: {done.stderr.decode()}")
    if "on two nodes" in places:
        numa = json.loads(succeed(two, "inspect", "--json"))["numa"]
        nodes = [node["cpus"] for node in numa["nodes"]]
        checks.that(nodes == [CPUS[:1], CPUS[1:]], f"inspect: {numa}")
        numa = json.loads(succeed(two, "bench", "--json", "-p", "0", "-n", "2", "-r", "1", "--threads", "2"))["numa"]
        checks.that(numa["policy"] == "split" and [node["threads"] for node in numa["nodes"]] == [1, 1], f"bench: {numa}")
    done = run(program, "--numa=on", "a")
    checks.that(done.returncode == 2 and b"'on' is not split, interleave or off" in done.stderr, f"--numa=on: {done.stderr}")


def archive(files):
    """A cpio archive, which the kernel unpacks as its first file system: of names and bytes, or None for a folder."""
    out = b""
    for number, (name, data) in enumerate([*files.items(), ("TRAILER!!!", b"")]):
        mode = 0o040755 if data is None else 0o100755
        data = data or b""
        fields = [number, mode, 0, 0, 1, 0, len(data), 0, 0, 0, 0, len(name) + 1, 0]
        out += b"070701" + b"".join(b"%08X" % field for field in fields) + name.encode() + b"\0"
        out += bytes(-len(out) % 4) + data
        out += bytes(-len(out) % 4)
    return out


def boot(folder, disk):
    """Runs disk/script on two nodes with two CPUs each, and returns its answers by name."""
    kernel = next((MACHINE / "boot").glob("vmlinuz-*"))
    files = {name: None for name in ("bin", "proc", "sys", "dev", "tmp", "mnt", "modules")}
    files["bin/busybox"] = next(MACHINE.rglob("bin/busybox")).read_bytes()
    files["init"] = (FILES / "init").read_bytes()
    for number, name in enumerate(["virtio_ring", "virtio", "virtio_pci_legacy_dev", "virtio_pci_modern_dev", "virtio_pci", "virtio_blk"]):
        module = next((MACHINE / "lib/modules").rglob(f"{name}.ko"))
        files[f"modules/{number}"] = module.read_bytes()
    (folder / "initrd").write_bytes(archive(files))
    image = folder / "disk.img"
    succeed("mke2fs", "-q", "-t", "ext4", "-d", disk, image, "100M")
    command = ["qemu-system-x86_64", "-machine", "pc,accel=tcg", "-cpu", "max", "-smp", "4", "-m", "1024"]
    for node, cpus in enumerate(["0-1", "2-3"]):
        command += ["-object", f"memory-backend-ram,id=memory{node},size=512M", "-numa", f"node,nodeid={node},cpus={cpus},memdev=memory{node}"]
    command += ["-kernel", kernel, "-initrd", folder / "initrd", "-append", "console=ttyS0 quiet panic=-1", "-nodefaults", "-nographic",
                "-no-reboot", "-serial", "stdio", "-drive", f"file={image},format=raw,if=virtio,readonly=on"]
    said = succeed(*command, timeout=600).decode(errors="replace").replace("\r", "")
    answers = dict(re.findall(r"^ANSWER (\S+) ?(.*)$", said, re.MULTILINE))
    if "end" not in answers:
        raise ValueError(f"the machine did not come to the end: {said[-2000:]}")
    return answers


def wanted_nodes(program, pages):
    """Of each page of the packed file the node whose threads, two of four, read the panel in which it begins; None elsewhere."""
    panels = json.loads(re.search(rb'"panels":(\[[^]]*\])', program.read_bytes())[1])
    nodes = [None] * pages
    for stack in panels:
        count = -(-stack["matrix_bytes"] // stack["panel_bytes"])
        first = PAGE + stack["offset"]
        for page in range(-(-first // PAGE), pages):
            place = page * PAGE - first
            if place >= stack["matrices"] * stack["matrix_bytes"]:
                break
            panel = place % stack["matrix_bytes"] // stack["panel_bytes"]
            nodes[page] = int(panel >= count * 2 // 4)
    return nodes


def check_machine(checks, folder):
    """Threads and pages are where they belong, whether the pages were in memory before or not, and texts are as here."""
    disk = folder / "disk"
    disk.mkdir()
    program = compile_model(TEST.parent / "examples/dictionary/model", disk / "dictionary", "--cpu=avx2")
    succeed("cc", "-static", "-O1", FILES / "pages.c", "-o", disk / "pages")
    shutil.copy(FILES / "script", disk / "script")
    answers = boot(folder, disk)
    numa = json.loads(answers["inspect"].replace("|", "\n"))["numa"]
    checks.that(numa == {"policy": "split", "nodes": [{"node": 0, "cpus": [0, 1], "threads": 2}, {"node": 1, "cpus": [2, 3], "threads": 2}]},
                f"inspect: {numa}")
    here = succeed(program, "--greedy", "--max-tokens", "30", "volcano").decode().replace("\n", "|")
    for policy in POLICIES:
        checks.that(answers[f"{policy}.text"] == here, f"{policy}: {answers[f'{policy}.text']!r} instead of {here!r}")
    cpus = re.findall(r"\d-\d", answers["fresh.cpus"])
    checks.that(cpus == ["0-1", "0-1", "2-3", "2-3"], f"threads run on {cpus}")
    for name in ("fresh", "moved", "interleave", "off"):
        checks.that(answers[f"{name}.errors"] == "", f"{name}: {answers[f'{name}.errors']}")
    checks.that("weights lie on other nodes" in answers["shared.text"], f"shared: {answers['shared.text']}")
    pages = {name: answers[f"{name}.pages"].rstrip("|").split(" ") for name in ("fresh", "moved", "interleave", "off")}
    wanted = wanted_nodes(program, len(pages["fresh"][1]))
    known = sum(node is not None for node in wanted)
    checks.that(known > 3000, f"only {known} pages of panels")
    for name, minimum in (("fresh", 1), ("moved", 1)):
        right = sum(found == str(node) for found, node in zip(pages[name][1], wanted) if node is not None)
        checks.that(right == known, f"{name}: {right} of {known} pages are on their nodes")
    checks.that(pages["off"][1].count("1") == 0, f"off: {pages['off'][1].count('1')} pages were moved")
    # The weights begin behind a page of the file.
    right = sum(found == str((page - 1) // 512 % 2) for page, found in enumerate(pages["interleave"][1]) if wanted[page] is not None)
    checks.that(right == known, f"interleave: {right} of {known} pages are on their nodes")
    checks.that(int(answers["interleave.mappings"].rstrip("|")) > 0, "interleave: no memory of its own is interleaved")


if __name__ == "__main__":
    if len(CPUS) < 2:
        print("skipped: needs two CPUs")
        sys.exit(77)
    checks = Checks()
    checks.run_parts(check_described)
    if ALL and MACHINE.exists() and shutil.which("qemu-system-x86_64"):
        checks.run_parts(check_machine)
    elif ALL:
        print("not run: a machine of two nodes, which test/setup.sh --tests --all fetches")
    checks.finish()
