"""Cases behind a router: a home network, a router with miniupnpd, and the outside.

    home 192.168.77.2 -- 192.168.77.1 router 45.64.0.1 -- 45.64.0.2 outside

The router is the network that the case runs in; home and outside are networks of their own, held by
a process each. The outside's addresses look public because the router refuses to map private ones.
"""

import json
import shutil
import socket
import subprocess
from pathlib import Path

from cases import case, expect
from harness import Case, CaseError, Process, wait_for

PORT = 6_881
ROUTES = """
link add lan0 type veth peer name eth0 netns {home}
link add wan0 type veth peer name eth0 netns {outside}
addr add 192.168.77.1/24 dev lan0
addr add 45.64.0.1/24 dev wan0
link set lan0 up
link set wan0 up
"""
RULES = """
table inet filter {
    chain forward {
        type filter hook forward priority 0; policy drop;
        ct state established,related accept
        iifname "lan0" accept
        jump miniupnpd
    }
    chain miniupnpd { }
    chain prerouting {
        type nat hook prerouting priority -100; policy accept;
        jump prerouting_miniupnpd
    }
    chain postrouting {
        type nat hook postrouting priority 100; policy accept;
        oifname "wan0" masquerade
        jump postrouting_miniupnpd
    }
    chain prerouting_miniupnpd { }
    chain postrouting_miniupnpd { }
}
"""
ROUTER = """
ext_ifname=wan0
listening_ip=lan0
http_port=5000
enable_upnp=no
enable_natpmp=no
secure_mode=yes
allow 1024-65535 192.168.77.0/24 1024-65535
deny 0-65535 0.0.0.0/0 0-65535
"""


def run(command: list, text: str | None = None) -> None:
    done = subprocess.run(list(map(str, command)), input=text, capture_output=True, text=True)
    if done.returncode != 0:
        raise CaseError(f"{' '.join(map(str, command))}: {done.stderr.strip()}")


def program(name: str) -> str:
    found = shutil.which(name, path="/usr/sbin:/sbin:/usr/bin:/bin")
    if found is None:
        raise CaseError(f"{name} is not installed")
    return found


class Place:
    """A network of its own; programs are run in it by `command`."""

    def __init__(self, case: Case, name: str, address: str, router: str | None):
        self.address, self.router = address, router
        self.holder = Process(case, name, ["unshare", "-n", "cat"], talks=True)
        own = Path("/proc/self/ns/net").readlink()
        theirs = Path(f"/proc/{self.holder.process.pid}/ns/net")
        wait_for(lambda: theirs.readlink() != own, 10, f"{name} has a network of its own")
        self.pid = self.holder.process.pid

    def up(self) -> None:
        commands = [f"addr add {self.address}/24 dev eth0", "link set eth0 up", "link set lo up"]
        if self.router is not None:
            commands.append(f"route add default via {self.router}")
        run(self.command("ip", "-batch", "-"), "\n".join(commands))

    def command(self, *command: object) -> list:
        return ["nsenter", "-t", self.pid, "-n", *command]


class Home:
    """All three networks, and a router that speaks what it is told to."""

    def __init__(self, case: Case, speaks: str):
        self.case = case
        self.home = Place(case, "home", "192.168.77.2", "192.168.77.1")
        self.outside = Place(case, "outside", "45.64.0.2", None)
        run(["ip", "-batch", "-"], ROUTES.format(home=self.home.pid, outside=self.outside.pid))
        self.home.up()
        self.outside.up()
        Path("/proc/sys/net/ipv4/ip_forward").write_text("1")
        run([program("nft"), "-f", "-"], RULES)
        told = case.folder("router") / "miniupnpd.conf"
        told.write_text(ROUTER.replace(f"{speaks}=no", f"{speaks}=yes"))
        pid = told.with_name("pid")
        self.router = Process(case, "miniupnpd", [program("miniupnpd"), "-d", "-f", told, "-P", pid])
        wait_for(pid.exists, 10, "the router runs")
        self.router.alive()

    def up(self) -> "Up":
        return Up(self.case, self.home)

    def reaches(self) -> bool:
        """Whether the outside connects to the port at the router that leads to us."""
        script = f"import socket; socket.create_connection(('45.64.0.1', {PORT}), 1)"
        tried = subprocess.run(
            list(map(str, self.outside.command("python3", "-c", script))), capture_output=True
        )
        return tried.returncode == 0


class Up:
    """`shoal up` at home, asked over its socket in the file system."""

    def __init__(self, case: Case, home: Place):
        folder = case.folder("up")
        self.socket = folder / "api"
        self.state = folder / "state"
        told = folder / "config.toml"
        told.write_text(
            f'[node]\nstate_dir = "{self.state}"\n[api]\nlisten = "unix:{self.socket}"\n'
            f'[network]\nlisten = ["0.0.0.0:{PORT}"]\nlsd = false\ndht = false\n'
            f'[transfers]\ndownload_dir = "{folder}"\n'
        )
        self.process = Process(case, "shoal", home.command(case.shoal, "up", "--config", told))
        wait_for(self.socket.exists, 20, "shoal up listens")

    def mapped(self) -> list[dict] | None:
        """What it says of its ports, once all are open."""
        self.process.alive()
        token = (self.state / "api-token").read_text().strip()
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(str(self.socket))
            head = f"GET /api/v1/status HTTP/1.0\r\nHost: localhost\r\nAuthorization: Bearer {token}\r\n\r\n"
            client.sendall(head.encode())
            answer = b""
            while part := client.recv(65_536):
                answer += part
        head, body = answer.split(b"\r\n\r\n", 1)
        if b" 200 " not in head.splitlines()[0]:
            raise CaseError(f"status: {head.decode(errors='replace')}")
        ports = json.loads(body)["port_mappings"]
        return ports if all(port["state"] == "mapped" for port in ports) else None


@case("a_router_opens_the_way_by_pcp", "pcp", "enable_natpmp")
@case("a_router_opens_the_way_by_upnp", "upnp", "enable_upnp")
def opens_the_way(case: Case, method: str, speaks: str) -> None:
    network = Home(case, speaks)
    expect(not network.reaches(), "nobody gets in before the router was asked")
    node = network.up()
    mapped = wait_for(node.mapped, 30, "the router opens the way")
    said = [(port["protocol"], port["external"], port["method"]) for port in mapped]
    wanted = [(protocol, f"45.64.0.1:{PORT}", method) for protocol in ("tcp", "udp")]
    expect(said == wanted, f"what it says of its ports: {said}")
    expect(network.reaches(), "the outside gets in")
    node.process.stop()
    wait_for(lambda: not network.reaches(), 10, "the way in is closed again")
