"""The peers whose word about a caller is believed: networks, and unix sockets."""

import ipaddress
from dataclasses import dataclass

_UNIX = "unix"


@dataclass(frozen=True)
class TrustedPeers:
    """The peers of the setting `trusted_proxies`."""

    networks: tuple[ipaddress.IPv4Network | ipaddress.IPv6Network, ...]
    has_unix: bool

    def includes(self, address: str) -> bool:
        """Whether a connection from `address` is trusted; a unix socket has none."""
        if not address:
            return self.has_unix
        try:
            peer = ipaddress.ip_address(address)
        except ValueError:
            return False
        peer = getattr(peer, "ipv4_mapped", None) or peer
        return any(peer in network for network in self.networks)


def parse_trusted_peers(text: str) -> TrustedPeers:
    """Return the peers in a list separated by commas.

    Raises ValueError with the first word that is no network, or is every address.
    """
    networks = []
    words = [word.strip().lower() for word in text.split(",") if word.strip()]
    for word in words:
        if word == _UNIX:
            continue
        try:
            network = ipaddress.ip_network(word)
        except ValueError:
            raise ValueError(word) from None
        if network.prefixlen == 0:
            raise ValueError(word)
        networks.append(network)
    return TrustedPeers(tuple(networks), _UNIX in words)
