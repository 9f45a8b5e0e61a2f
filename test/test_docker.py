"""The image without Docker: its scripts run with stand-ins for what they call, its files against what they name."""

import os
import re
import shutil
import subprocess
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parent.parent
DOCKER = ROOT / "docker"
SCRIPTS = sorted(DOCKER.glob("*.sh"))
LINES = [line.split() for line in (DOCKER / "Dockerfile").read_text(encoding="utf-8").splitlines() if line.strip()]
DISTRIBUTIONS = ["humble", "jazzy", "kilted", "lyrical", "rolling"]


@pytest.fixture
def machine(tmp_path: Path):
    """Return a function that runs a script where apt-get, rosdep, python3 and colcon only note what they are told."""
    tools, calls = tmp_path / "bin", tmp_path / "calls"
    tools.mkdir()
    for name in ("apt-get", "rosdep", "colcon"):
        (tools / name).write_text(f'#!/bin/bash\necho {name} "$@" >> {calls}; [[ ${{FAILING:-}} != {name} ]]\n')
    answer = f'[[ $1 == -c ]] && echo numpy==1.26.4 || echo python3 "$@" >> {calls}'
    (tools / "python3").write_text(f"#!/bin/bash\n{answer}\n")
    (tools / "rm").write_text("#!/bin/bash\n")  # this machine keeps its lists of packages
    for tool in tools.iterdir():
        tool.chmod(0o755)
    setup = tmp_path / "setup.bash"
    setup.write_text('export SOURCED="$SOURCED+"; : $AMENT_TRACE_SETUP_FILES\n')

    def run(script: str, *arguments: str, failing: str = "") -> tuple[subprocess.CompletedProcess[str], list[str]]:
        environment = {"PATH": f"{tools}:{os.environ['PATH']}", "ROS_DISTRO": "jazzy", "FAILING": failing}
        environment |= {"TMPDIR": str(tools.parent), "ROS_SETUP": str(setup), "WORKSPACE_SETUP": str(setup)}
        calls.unlink(missing_ok=True)
        command = ["bash", str(DOCKER / script), *arguments]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60)
        return done, calls.read_text().splitlines() if calls.exists() else []

    return run


def pins() -> dict[str, str]:
    lines = (ROOT / "requirements" / "constraints.txt").read_text(encoding="utf-8").splitlines()
    return {line.split("==")[0]: line for line in lines if "==" in line}


def test_dependencies_come_from_package_xml_and_the_rest_from_pip(machine) -> None:
    done, calls = machine("install_dependencies.sh")
    assert done.returncode == 0, done.stderr
    (rosdep,) = (call for call in calls if call.startswith("rosdep install"))
    assert f"--from-paths {ROOT} --ignore-src -y --rosdistro jazzy" in rosdep and "=exec" in rosdep
    assert "=test" not in rosdep and not any("python3-venv" in call for call in calls)
    first, second = (call for call in calls if " pip install " in call)
    assert first.endswith(f" {pins()['openvino']} {pins()['safetensors']}")
    (kept,) = re.findall(r" -c (\S+)", first)
    assert Path(kept).read_text() == "numpy==1.26.4\n"
    named = {element.text for element in ET.parse(ROOT / "package.xml").getroot()}
    assert not {"python3-openvino", "python3-safetensors"} & named, "it has a rosdep key now: pip need not bring it"
    assert {f"python3-{name}" for name in re.findall(r"(\w+)>=", second)} <= named


def test_tests_need_more(machine) -> None:
    done, calls = machine("install_dependencies.sh", "--tests")
    assert done.returncode == 0, done.stderr
    assert any("=test" in call for call in calls if call.startswith("rosdep install"))
    (apt,) = (call for call in calls if call.startswith("apt-get install"))
    assert {"cmake", "g++", "make", "python3-dev", "python3-venv"} <= set(apt.split())


@pytest.mark.parametrize(
    ("script", "tool"),
    [("install_dependencies.sh", "apt-get"), ("install_dependencies.sh", "rosdep"), ("build_workspace.sh", "colcon")],
)
def test_what_fails_ends_the_build_of_the_image(machine, script: str, tool: str) -> None:
    done, calls = machine(script, failing=tool)
    assert done.returncode != 0
    assert calls[-1].startswith(tool), "nothing is done after it"


def test_cuda_is_torch(machine) -> None:
    done, calls = machine("install_cuda.sh")
    assert done.returncode == 0, done.stderr
    assert calls[-1].endswith(f" {pins()['torch']}")


def test_the_workspace_is_built_and_entered(machine) -> None:
    done, calls = machine("build_workspace.sh")
    assert done.returncode == 0, done.stderr
    assert calls == [
        "colcon build --packages-select fanet_ros --event-handlers console_direct+ --cmake-args -DBUILD_TESTING=OFF"
    ]
    done, _ = machine("entrypoint.sh", "bash", "-c", 'echo "$SOURCED $1"; exit 7', "-", "two words")
    assert done.returncode == 7 and done.stdout == "++ two words\n", "both were sourced, the command has its arguments"


def test_scripts_are_in_order() -> None:
    for script in SCRIPTS:
        subprocess.run(["bash", "-n", script], check=True)
        assert os.access(script, os.X_OK) == (script.name != "common.sh")
    if shutil.which("shellcheck"):
        subprocess.run(["shellcheck", "-x", *SCRIPTS], check=True, cwd=ROOT)


def test_the_dockerfile_runs_scripts_only_and_has_copied_what_they_read() -> None:
    runs = [line[1:] for line in LINES if line[0] == "RUN"]
    entry = re.findall(r"docker/(\w+\.sh)", " ".join(next(line for line in LINES if line[0] == "ENTRYPOINT")))
    assert all(len(run) == 1 for run in runs)
    assert {Path(run[0]).name for run in runs} | {*entry, "common.sh"} == {script.name for script in SCRIPTS}
    copied = [line[1] for line in LINES if line[0] == "COPY"]
    assert copied[-1] == "." and all((ROOT / name).exists() for name in copied)
    assert "requirements/constraints.txt" in copied and "docker/" in copied
    ignored = (ROOT / ".dockerignore").read_text(encoding="utf-8").split()
    installed = re.findall(r"install\(DIRECTORY ([\w ]+?)\s+DESTINATION share", (ROOT / "CMakeLists.txt").read_text())
    needed = {"fanet_ros", "msg", "src", "scripts", "docker", "package.xml", *installed[0].split()}
    assert not needed & set(ignored)
    assert {"cpu", "cuda"} == {line[3] for line in LINES if line[0] == "FROM" and len(line) > 2}
    assert LINES[-1] == ["FROM", "cpu"]


def test_compose_names_targets_and_launch_arguments_that_exist() -> None:
    services = yaml.safe_load((DOCKER / "compose.yaml").read_text(encoding="utf-8"))["services"]
    assert set(services) == {"demo", "robot", "robot-cuda"}
    for service in services.values():
        assert service["network_mode"] == service["ipc"] == "host"
        assert service["build"]["target"] in {line[3] for line in LINES if line[0] == "FROM" and len(line) > 2}
        assert (DOCKER / service["build"]["context"] / service["build"]["dockerfile"]).is_file()
        _, _, package, launch_file, *arguments = service["command"].split()
        files = (f"launch/{launch_file}", "launch/segment.launch.py", "fanet_ros/ros/launching/arguments.py")
        text = "".join((ROOT / file).read_text() for file in files)
        assert package == "fanet_ros" and arguments
        assert all(f'"{argument.partition(":=")[0]}"' in text for argument in arguments)


def test_the_workflow_tests_every_distribution() -> None:
    workflow = yaml.safe_load((ROOT / ".github" / "workflows" / "test.yml").read_text(encoding="utf-8"))
    jobs = workflow["jobs"]
    assert jobs["ros"]["strategy"]["matrix"]["distro"] == DISTRIBUTIONS
    assert all(name in (DOCKER / "Dockerfile").read_text() for name in DISTRIBUTIONS)
    steps = [step for job in jobs.values() for step in job["steps"]]
    assert sum("make test" in step.get("run", "") for step in steps) == 2
    assert any(step.get("run") == "docker/install_dependencies.sh --tests" for step in steps)
    for action in (step["uses"] for step in steps if "uses" in step):
        assert re.fullmatch(r"[\w-]+/[\w-]+@v\d+", action), f"{action}: not pinned by major version"
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    named = set(re.findall(r"sudo apt install (git .+)", readme)[0].split())
    assert named <= set(jobs["without-ros"]["steps"][0]["run"].split())
