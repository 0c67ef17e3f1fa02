"""Serves the page of the web UI, at every path that the UI shows something at."""

from uuid import UUID

from flask import (
    Blueprint,
    Response,
    current_app,
    make_response,
    redirect,
    render_template,
    request,
    url_for,
)
from werkzeug.exceptions import NotFound
from werkzeug.wrappers import Response as BaseResponse

from chatstore import __version__
from chatstore.app_state import get_from_app
from chatstore.enums import AuthMode
from chatstore.web.auth.cookies import Logins, cookie_text
from chatstore.web.observe import forbid_storing
from chatstore.web.problems import answer_http_error
from chatstore.web.static_files import compress
from chatstore.web.ui_page import package_page

bp = Blueprint("ui", __name__)

# Programs read what is below these paths, whatever they accept.
_NO_PAGES = ("/api/", "/static/", "/docs/")


@bp.get("/")
@bp.get("/search")
@bp.get("/archived")
@bp.get("/trash")
@bp.get("/usage")
@bp.get("/settings")
def show_ui() -> BaseResponse:
    """Return the page of the web UI, or lead to the login."""
    return _login_first() or _page()


@bp.get("/s/<uuid:session_id>")
def show_session(session_id: UUID) -> BaseResponse:
    """Return the page, which reads the session itself."""
    return _login_first() or _page("session")


@bp.get("/shared/<token:token>")
def show_shared(token: str) -> Response:
    """Return the page that shows a shared session, without a login."""
    page = _page("shared")
    page.headers["X-Robots-Tag"] = "noindex, nofollow"
    return page


@bp.app_errorhandler(NotFound)
def answer_not_found(error: NotFound) -> Response:
    """Answer a browser with the page, and everybody else with a problem."""
    accepted = request.accept_mimetypes
    is_browser = accepted["text/html"] > accepted["application/json"]
    if (
        request.method not in ("GET", "HEAD")
        or request.path.startswith(_NO_PAGES)
        or not is_browser
    ):
        return answer_http_error(error)
    page = _page(status=404)
    page.vary.add("Accept")
    return page


def _login_first() -> BaseResponse | None:
    """Return the way to the login if the browser needs one; None if not.

    A proxy may say who asks, so only a server that has keys and no proxy redirects.
    """
    modes = current_app.config["CHATSTORE"].auth_modes
    if AuthMode.API_KEY not in modes or AuthMode.PROXY in modes:
        return None
    if "HTTP_AUTHORIZATION" in request.environ:
        return None
    if get_from_app(Logins).find(cookie_text()) is not None:
        return None
    forbid_storing()
    query = request.query_string.decode("latin-1")
    path = f"{request.path}?{query}" if query else request.path
    return redirect(url_for("logins.show_login", next=path), 303)


def _page(kind: str = "start", *, status: int = 200) -> Response:
    modes = current_app.config["CHATSTORE"].auth_modes
    ui = package_page()
    page = make_response(
        render_template(
            "ui.html",
            ui=ui,
            modules=ui.modules[kind],
            version=__version__,
            auth=" ".join(sorted(modes)),
            has_logout=AuthMode.API_KEY in modes,
            status=status,
            is_shared=kind == "shared",
        ),
        status,
    )
    if request.accept_encodings["gzip"]:
        page.data = compress(page.data)
        page.headers["Content-Encoding"] = "gzip"
    page.vary.add("Accept-Encoding")
    page.headers["Cache-Control"] = "no-cache"
    page.headers["Content-Security-Policy"] = ui.policy
    return page
