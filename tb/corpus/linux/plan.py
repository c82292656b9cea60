# SPDX-License-Identifier: Apache-2.0
"""What the corpus holds: scenarios of SAs and the packets that go through them.

A scenario is ``{"name", "bundles", "packets", "mark", "src", "dst"}``. A bundle, innermost first, is
``{"mode", "sas"}``; an SA holds its op in replay's words and what the kernel must know besides. All keys derive from
names: fixed, public.
"""

import hashlib
import random
from itertools import count, product

from corpus.linux.packets import EXTENSIONS, IPV4_OPTIONS, extension_packet, packet

__all__ = ["AEAD_ICVS", "AEAD_SUITES", "ENDS", "ESP_SUITES", "Plan", "scenarios"]

KEY_LENGTHS = {"null": (0,), "aes-cbc": (16, 24, 32), "aes-ctr": (16, 24, 32), "des-cbc": (8,), "3des-cbc": (24,),
               "aes-gcm": (16, 24, 32), "aes-gmac": (16, 24, 32), "aes-ccm": (16, 24, 32), "chacha20-poly1305": (32,)}
SALTS = {"aes-ctr": 4, "aes-gcm": 4, "aes-gmac": 4, "aes-ccm": 3, "chacha20-poly1305": 4}
AEAD_ICVS = {"aes-gcm": (8, 12, 16), "aes-ccm": (8, 12, 16), "aes-gmac": (16,), "chacha20-poly1305": (16,)}
#: Authentication: key length as RFC 2403, 2404, 3566, 4494 and 4868 have it, ICV length.
AUTHS = [("hmac-md5-96", 16, 12), ("hmac-sha1-96", 20, 12), ("hmac-sha256-128", 32, 16), ("hmac-sha256-128", 32, 12),
         ("hmac-sha384-192", 48, 24), ("hmac-sha512-256", 64, 32), ("aes-xcbc-96", 16, 12), ("aes-cmac-96", 16, 12)]
ESP_SUITES = [(encr, size, auth) for encr in ("null", "aes-cbc", "aes-ctr", "des-cbc", "3des-cbc")
              for size in KEY_LENGTHS[encr] for auth in AUTHS]
AEAD_SUITES = [(encr, size, icv) for encr, icvs in AEAD_ICVS.items() for size in KEY_LENGTHS[encr] for icv in icvs]

#: Ends by (IP version, level): level 0 is the packet's own, 1 and 2 those of tunnels around it.
ENDS = {(4, 0): ("192.0.2.1", "192.0.2.2"), (4, 1): ("198.51.100.1", "198.51.100.2"),
        (4, 2): ("203.0.113.1", "203.0.113.2"), (6, 0): ("2001:db8:1::1", "2001:db8:1::2"),
        (6, 1): ("2001:db8:2::1", "2001:db8:2::2"), (6, 2): ("2001:db8:3::1", "2001:db8:3::2")}


def _key(length, *name):
    return hashlib.shake_128(repr(name).encode()).hexdigest(length)


class Plan:
    """Draws SAs, and collects scenarios of them."""

    def __init__(self, seed):
        self.rng = random.Random(seed)
        self.marks = count(1)
        self.scenarios = []

    # SAs

    def op(self, protocol, suite, esn=False, udp=False):
        """An op: ``suite`` is (encr, key length, auth or ICV length), or an entry of AUTHS for AH."""
        spi = self.rng.randrange(0x100, 1 << 32)
        op = {"protocol": protocol, "spi": spi, "iv": "frame"}
        if protocol == "esp":
            encr, size, rest = suite
            op |= {"encr_alg": encr, "encr_key": _key(size, "encr", spi) if size else None}
            if encr in SALTS:
                op["salt"] = _key(SALTS[encr], "salt", spi)
            if encr in AEAD_ICVS:
                op["icv_len"] = rest
                auth = None
            else:
                auth = rest
        else:
            auth = suite
        if auth:
            op |= {"auth_alg": auth[0], "auth_key": _key(auth[1], "auth", spi), "icv_len": auth[2]}
        op.setdefault("icv_len", 0)
        if udp:
            op["udp_encap"] = True
        if esn:
            op |= {"esn": True}
        return op

    def sa(self, protocol, suite, mode, ends, *, esn=None, udp=False, **more):
        rng = self.rng
        esn = rng.random() < 0.4 if esn is None else esn
        op = self.op(protocol, suite, esn, udp)
        # One in six stands right before the low half wraps; without ESN the kernel stops there.
        wraps = esn and rng.random() < 1 / 6
        result = {"op": op, "mode": mode, "src": ends[0], "dst": ends[1],
                  "oseq": 0xFFFFFFFF if wraps else rng.choice([0, 1, rng.randrange(1 << 31), 0xFFFFFFF0])}
        if esn:
            result["oseq_high"] = rng.choice([0, 1, rng.randrange(1, 1 << 32), rng.randrange(1, 1 << 32)])
        if udp:
            result["sport"] = rng.choice([4500, rng.randrange(1024, 65536)])
        return result | more

    def bundle(self, mode, version, level, *, esp=None, ah=None, udp=False, esn=None, **more):
        """ESP, AH or both. The kernel has AH over tunnel-mode ESP as transport between the tunnel's ends."""
        ends = ENDS[version, level]
        sas = []
        if esp:
            sas.append(self.sa("esp", esp, mode, ends, udp=udp, esn=esn, **more))
        if ah:
            align = {"align4": True} if version == 4 and self.rng.random() < 0.5 else {}
            sas.append(self.sa("ah", ah, "transport" if esp else mode, ends, esn=esn, **align))
        return {"mode": mode, "sas": sas}

    def suite(self):
        rng = self.rng
        return rng.choice(ESP_SUITES) if rng.random() < 0.5 else rng.choice(AEAD_SUITES)

    def auth(self):
        return self.rng.choice(AUTHS)

    def add(self, name, version, bundles, packets, dst=None, link=None):
        src, own_dst = link or ENDS[version, 0]
        for n, sa in enumerate(sa for bundle in bundles for sa in bundle["sas"]):
            sa["reqid"] = n + 1
            if sa["src"] == ENDS[version, 0][0]:
                sa["src"], sa["dst"] = src, dst or own_dst
        self.scenarios.append({"name": name, "mark": next(self.marks), "src": src, "dst": dst or own_dst,
                               "bundles": bundles, "packets": [{"version": version, "src": src, "dst": dst or own_dst,
                                                                **one} for one in packets]})

    def packets(self, version, number=1, low=0, high=120):
        return [packet(self.rng, version, self.rng.randrange(low, high)) for _ in range(number)]

    # chapters

    def every_esp_suite(self):
        """Each cipher with each key length and each authenticator, over the shapes in turn."""
        for n, suite in enumerate(ESP_SUITES + AEAD_SUITES):
            inner, outer = divmod(n % 4, 2)
            inner, outer = (4, 6)[inner], (4, 6)[outer]
            for mode in ("transport", "tunnel"):
                version = outer if mode == "transport" else inner
                bundle = self.bundle(mode, outer, mode == "tunnel", esp=suite)
                self.add(f"esp {mode}", version, [bundle], self.packets(version, 1, 0, (100, 700)[n % 5 == 0]))

    def every_ah_suite(self):
        for auth, (inner, outer), mode, esn in product(AUTHS, product((4, 6), (4, 6)), ("transport", "tunnel"),
                                                       (False, True)):
            if mode == "transport" and inner != outer:
                continue
            bundle = self.bundle(mode, outer, mode == "tunnel", ah=auth, esn=esn)
            if mode == "tunnel" and inner == outer and esn:
                continue
            self.add(f"ah {mode}", inner, [bundle], self.packets(inner, 1, 0, 300))

    def ah_over_esp(self):
        for n, encr in enumerate([suite for suite in ESP_SUITES if suite[2] is AUTHS[1]] + AEAD_SUITES[::2]):
            for bare in (False, True):
                if bare and encr[0] in AEAD_ICVS:
                    continue
                esp = (encr[0], encr[1], None if bare else self.auth()) if encr[0] not in AEAD_ICVS else encr
                mode, version = (("transport", "tunnel")[(n + bare) % 2], self.rng.choice((4, 6)))
                inner = version if mode == "transport" else self.rng.choice((4, 6))
                bundle = self.bundle(mode, version, mode == "tunnel", esp=esp, ah=self.auth())
                self.add(f"ah+esp {mode}", inner, [bundle], self.packets(inner, 1, 0, 400))

    def nested(self):
        """The nine nestings, in all four pairs of families, and tunnels in tunnels."""
        kinds = ("esp", "ah", "ah+esp")
        for kind, around, (inner, outer) in product(kinds, kinds, product((4, 6), (4, 6))):
            bundles = [self.bundle(mode, version, level, esp=self.suite() if "esp" in which else None,
                                   ah=self.auth() if "ah" in which else None)
                       for which, mode, version, level in ((kind, "transport", inner, 0), (around, "tunnel", outer, 1))]
            self.add(f"{kind} transport in {around} tunnel", inner, bundles, self.packets(inner, 1, 0, 250))
        for kind, around in product(kinds, kinds):
            versions = [self.rng.choice((4, 6)) for _ in range(3)]
            bundles = [self.bundle("tunnel", version, level, esp=self.suite() if "esp" in which else None,
                                   ah=self.auth() if "ah" in which else None)
                       for which, version, level in ((kind, versions[1], 1), (around, versions[2], 2))]
            self.add(f"{kind} tunnel in {around} tunnel", versions[0], bundles, self.packets(versions[0], 1, 0, 250))

    def udp_encapsulated(self):
        for version in (4, 6):
            for n in range(3):
                suites = [self.suite() for _ in range(6)]
                for mode in ("transport", "tunnel"):
                    bundle = self.bundle(mode, version, mode == "tunnel", esp=suites.pop(), udp=True)
                    inner = version if mode == "transport" or n else 10 - version
                    self.add(f"udp-esp {mode}", inner, [bundle], self.packets(inner))
                for which in (0, 1):
                    bundles = [self.bundle("transport", version, 0, esp=suites.pop(), udp=which == 0),
                               self.bundle("tunnel", version, 1, esp=suites.pop(), udp=which == 1)]
                    self.add(("udp-esp transport in esp tunnel", "esp transport in udp-esp tunnel")[which], version,
                             bundles, self.packets(version))

    def options(self):
        """Options and extension headers: ahead of AH they are hashed, ahead of ESP passed by, in a tunnel carried."""
        for name, (options, first) in IPV4_OPTIONS.items():
            for shape in ("ah", "ah+esp", "esp"):
                if shape == "esp" and self.rng.random() < 0.6:
                    continue
                bundle = self.bundle("transport", 4, 0, esp=self.suite() if "esp" in shape else None,
                                     ah=self.auth() if "ah" in shape else None)
                one = packet(self.rng, 4, self.rng.randrange(100)) | {"options": options, "dst": ENDS[4, 0][1]}
                self.add(f"{shape} transport, {name}", 4, [bundle], [one], dst=first)
            if name in ("lsrr of three", "record route"):
                bundle = self.bundle("tunnel", 4, 1, ah=self.auth())
                self.add(f"ah tunnel around {name}", 4, [bundle], [one], dst=first)
        for name, chain in EXTENSIONS.items():
            for shape in ("ah", "ah+esp", "esp"):
                if shape == "esp" and self.rng.random() < 0.6:
                    continue
                bundle = self.bundle("transport", 6, 0, esp=self.suite() if "esp" in shape else None,
                                     ah=self.auth() if "ah" in shape else None)
                one = extension_packet(self.rng, chain, *ENDS[6, 0])
                self.add(f"{shape} transport, {name}", 6, [bundle], [one])
            if "routing" in name:
                bundles = [self.bundle("transport", 6, 0, ah=self.auth()), self.bundle("tunnel", 4, 1, ah=self.auth())]
                self.add(f"ah transport in ah tunnel, {name}", 6, bundles, [one])

    def paddings(self):
        """TFC padding, empty payloads, next header 59, and every size around the block lengths."""
        for version, size in product((4, 6), (100, 200, 300, 700)):
            bundle = self.bundle("tunnel", version, 1, esp=self.suite(), tfcpad=size)
            self.add("esp tunnel, tfc padding", version, [bundle], self.packets(version, 1, 0, 60))
        for version, protocol in product((4, 6), (253, 59)):
            for suite in (ESP_SUITES[1], ESP_SUITES[8], ESP_SUITES[17], AEAD_SUITES[0], AEAD_SUITES[-1]):
                bundle = self.bundle("transport", version, 0, esp=suite)
                empty = {"kind": "raw", "protocol": protocol, "data": ""}
                self.add("esp transport, empty payload", version, [bundle], [empty])
            bundle = self.bundle("transport", version, 0, ah=self.auth())
            self.add("ah transport, empty payload", version, [bundle], [empty])
        for suite in (("aes-cbc", 16, AUTHS[1]), ("null", 0, AUTHS[5]), ("aes-gcm", 32, 16), ("aes-ccm", 16, 16),
                      ("chacha20-poly1305", 32, 16), ("3des-cbc", 24, AUTHS[6])):
            bundle = self.bundle("transport", 4, 0, esp=suite)
            sizes = (1, 3, 6, 13, 15, 30, 46, 62, 93, 125)
            self.add("esp transport, sizes", 4, [bundle], [packet(self.rng, 4, size, kind="raw") for size in sizes])

    def long_keys(self):
        """HMAC keys longer than the block of the hash (RFC 2104 section 2: hashed first)."""
        for (name, _, icv), size in product((AUTHS[0], AUTHS[1], AUTHS[2], AUTHS[4], AUTHS[5]), (65, 129)):
            auth = (name, size, icv)
            protocol = self.rng.choice(("esp", "ah"))
            suite = (*self.rng.choice((("null", 0), ("aes-cbc", 16))), auth) if protocol == "esp" else auth
            bundle = self.bundle("transport", 4, 0, **{protocol: suite})
            self.add(f"{protocol} transport, long key", 4, [bundle], self.packets(4))

    def large(self):
        suites = [("null", 0, AUTHS[0]), ("aes-cbc", 16, AUTHS[1]), ("aes-ctr", 32, AUTHS[2]), ("des-cbc", 8, AUTHS[0]),
                  ("3des-cbc", 24, AUTHS[4]), ("aes-gcm", 16, 16), ("aes-gcm", 32, 8), ("aes-gmac", 24, 16),
                  ("aes-ccm", 16, 16), ("chacha20-poly1305", 32, 16), ("null", 0, AUTHS[5]), ("aes-cbc", 32, AUTHS[6]),
                  ("aes-ctr", 16, AUTHS[7])]
        for n, suite in enumerate(suites):
            mode, version = ("transport", "tunnel")[n % 2], (4, 6)[n // 2 % 2]
            bundle = self.bundle(mode, version, n % 2, esp=suite)
            self.add(f"esp {mode}, large", version, [bundle], self.packets(version, 1, 8800, 9200))
        for n, auth in enumerate((AUTHS[0], AUTHS[2], AUTHS[5], AUTHS[7])):
            bundle = self.bundle("transport", (4, 6)[n % 2], 0, ah=auth)
            self.add("ah transport, large", (4, 6)[n % 2], [bundle], self.packets((4, 6)[n % 2], 1, 8800, 9200))
        for version, outer in ((4, 4), (6, 6), (6, 4)):
            bundles = [self.bundle("transport", version, 0, esp=self.suite(), ah=self.auth()),
                       self.bundle("tunnel", outer, 1, esp=self.suite(), ah=self.auth())]
            self.add("ah+esp transport in ah+esp tunnel, large", version, bundles, self.packets(version, 1, 8800, 9000))
        for n in range(12):
            mode = ("transport", "tunnel")[n % 2]
            version = self.rng.choice((4, 6))
            bundle = self.bundle(mode, version, n % 2, esp=self.suite(), ah=self.auth() if n % 3 == 0 else None)
            shape = "ah+esp" if n % 3 == 0 else "esp"
            self.add(f"{shape} {mode}, a full Ethernet frame", version, [bundle], self.packets(version, 1, 1250, 1390))

    def vlans(self):
        for name, version, *link in (("vlan", 4, "10.100.0.1", "10.100.0.2"),
                                     ("vlan", 6, "2001:db8:100::1", "2001:db8:100::2"),
                                     ("two vlans", 4, "10.8.0.1", "10.8.0.2")):
            for shape in ("esp", "ah", "ah+esp"):
                bundle = self.bundle("transport", version, 0, esp=self.suite() if "esp" in shape else None,
                                     ah=self.auth() if "ah" in shape else None)
                self.add(f"{shape} transport, {name}", version, [bundle], self.packets(version), link=link)


def scenarios(seed):
    """All scenarios; ``seed`` decides what is drawn."""
    plan = Plan(seed)
    for chapter in (plan.every_esp_suite, plan.every_ah_suite, plan.ah_over_esp, plan.nested, plan.udp_encapsulated,
                    plan.options, plan.paddings, plan.long_keys, plan.large, plan.vlans):
        chapter()
    return plan.scenarios
