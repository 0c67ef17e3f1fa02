import threading

import pytest

from chatstore.errors import ProviderUnavailable
from chatstore.settings import Settings
from chatstore.web.auth.openid import OpenIdProvider
from chatstore.web.auth.openid_attempts import new_attempt
from tests.support.tokens import issuer


def test_a_slow_provider_holds_half_of_the_threads():
    attempt = new_attempt(redirect_uri="http://localhost/", next_path="/")
    with issuer(b"") as served:
        served.gate.clear()
        url = served.url.removesuffix("/jwks?v=1")
        settings = Settings(
            auth="api-key", openid_issuer=url, openid_client_id="x", threads=4
        )
        provider, refused = OpenIdProvider(settings), []

        def start():
            try:
                provider.authorization_url(attempt)
            except ProviderUnavailable as error:
                refused.append(error.detail)

        threads = [threading.Thread(target=start) for _ in range(4)]
        for each in threads:
            each.start()
        # Two wait for the provider, and two are refused at once.
        while threads[0].is_alive() and len(refused) < 2:
            threads[-1].join(0.01)
        assert refused == ["Too many people sign in at this moment."] * 2
        served.gate.set()
        for each in threads:
            each.join()
        assert (len(refused), served.count) == (4, 1)


@pytest.mark.parametrize("code", ["", "\n", "x" * 4097])
def test_a_malformed_code_is_refused_without_a_request(code):
    settings = Settings(
        auth="api-key", openid_issuer="https://nowhere.invalid", openid_client_id="x"
    )
    attempt = new_attempt(redirect_uri="http://localhost/", next_path="/")
    with pytest.raises(Exception, match="missing or malformed"):
        OpenIdProvider(settings).identify(attempt, code, issuer=None)
