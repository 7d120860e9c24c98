from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from types import SimpleNamespace
from typing import Any

import pytest
from fastapi.testclient import TestClient
from starlette._utils import get_route_path
from starlette.types import Message, Scope

from hub.access import Access
from hub.api.gate import Gate
from hub.api.uploads import path_of
from hub.keys import digest_of
from hub.settings import Settings

OpenClient = Callable[..., AbstractContextManager[TestClient]]

ALICE, OPERATOR = "alices-key-long-enough", "the-operators-own-key"
ELSEWHERE = "https://elsewhere.example"
PROBLEM = "application/problem+json"


@pytest.fixture(scope="module")
def locked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    """A hub that asks for keys and lets pages of one other site call it."""
    from hub.api.app import create_app
    from hub.service import Hub

    settings = Settings(
        data_dir=tmp_path_factory.mktemp("gate") / "data",
        auto_fetch=False,
        max_upload_mb=1,
        api_keys=[ALICE],
        operator_keys=[OPERATOR],
        cors_origins=[ELSEWHERE],
    )
    with TestClient(create_app(Hub(settings)), raise_server_exceptions=False) as client:
        yield client


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"X-API-Key": "wrong"},
        {"X-API-Key": ""},
        {"Authorization": "Bearer wrong"},
        {"Authorization": f"Basic {ALICE}"},
        {"Authorization": ALICE},
        {"X-API-Key": "wrong", "Authorization": f"Bearer {ALICE}"},
    ],
)
def test_who_has_no_key_is_told_so(locked: TestClient, headers: dict[str, str]) -> None:
    answer = locked.get("/api/available_controls", headers=headers)

    assert answer.status_code == 401
    assert answer.headers["Content-Type"] == PROBLEM
    assert answer.headers["WWW-Authenticate"].startswith("Bearer ")
    assert answer.json()["code"] in ("key_required", "wrong_key")
    assert ALICE not in answer.text


@pytest.mark.parametrize(
    "headers",
    [
        {"X-API-Key": ALICE},
        {"Authorization": f"Bearer {ALICE}"},
        {"authorization": f"bearer  {ALICE} "},
        {"X-API-Key": OPERATOR},
        {"X-API-Key": ALICE, "Authorization": "Bearer wrong"},
    ],
)
def test_a_key_opens(locked: TestClient, headers: dict[str, str]) -> None:
    assert locked.get("/api/available_controls", headers=headers).status_code == 200


def test_a_key_in_another_script(open_client: OpenClient) -> None:
    key = "clé très secrète 写真"
    with open_client(api_keys=[digest_of(key)]) as client:
        assert client.get("/api/available_controls", headers={b"X-API-Key": key.encode()}).status_code == 200


def test_every_path_of_the_api_is_closed(locked: TestClient) -> None:
    document = locked.get("/openapi.json").json()
    closed = [path for path in document["paths"] if path.startswith("/api/")]
    assert len(closed) >= 7
    for path in [*closed, "/api", "/api/", "/api/nothing", "/api//x", "/api/%2e%2e/health"]:
        for method in ("GET", "POST", "DELETE", "PUT", "OPTIONS", "HEAD"):
            assert locked.request(method, path).status_code == 401, (method, path)


@pytest.mark.parametrize("path", ["/health", "/docs", "/redoc", "/openapi.json"])
def test_what_needs_no_key(locked: TestClient, path: str) -> None:
    assert locked.get(path).status_code == 200
    assert locked.get("/static_results/images/a.png").status_code == 404


def test_nothing_is_read_of_a_refused_body(settings: Settings) -> None:
    """Neither for a wrong key, nor for one request too many."""
    import asyncio

    reached: list[Scope] = []
    sent: list[Message] = []

    async def application(scope: Scope, _receive: object, _send: object) -> None:
        reached.append(scope)

    async def receive() -> Message:
        raise AssertionError("The body was asked for.")

    async def send(message: Message) -> None:
        sent.append(message)

    def post(gate: Gate, key: bytes) -> None:
        scope: Scope = {
            "type": "http",
            "method": "POST",
            "path": "/api/process_image",
            "headers": [(b"x-api-key", key), (b"content-length", b"100")],
            "client": ("192.0.2.1", 1),
        }
        asyncio.run(gate(scope, receive, send))

    gate = Gate(
        application,
        Access(
            settings.model_copy(
                update={"rate_limit": "1/hour"} | Settings(api_keys=[ALICE]).model_dump(include={"api_keys"})
            )
        ),
    )
    post(gate, ALICE.encode())
    post(gate, ALICE.encode())
    post(gate, b"wrong")

    assert len(reached) == 1
    assert reached[0]["state"]["caller"].owner.startswith("key:")
    assert [message["status"] for message in sent if message["type"] == "http.response.start"] == [429, 401]


def test_what_the_page_uploads_is_counted(open_client: OpenClient) -> None:
    with open_client(api_keys=[ALICE], rate_limit="2/hour") as client:
        assert [client.post("/gradio_api/upload").status_code for _ in range(2)] == [404, 404]  # There is no page here.
        answer = client.post("/gradio_api/upload")
        assert answer.status_code == 429
        assert "please try again in" in answer.json()["detail"]
        assert client.get("/api/available_controls").status_code == 429
        assert client.get("/api/available_controls", headers={"X-API-Key": ALICE}).status_code == 200


def test_too_many_requests(open_client: OpenClient) -> None:
    with open_client(rate_limit="3/minute", cors_origins=[ELSEWHERE]) as client:
        for _ in range(3):
            assert client.get("/api/available_controls").status_code == 200
        answer = client.get("/api/nothing", headers={"Origin": ELSEWHERE})

        assert answer.status_code == 429
        assert answer.headers["Content-Type"] == PROBLEM
        assert answer.json()["code"] == "too_many_requests"
        assert 1 <= int(answer.headers["Retry-After"]) <= 60
        assert answer.headers["Access-Control-Allow-Origin"] == ELSEWHERE
        assert client.get("/health").status_code == 200


@pytest.mark.parametrize(
    "path",
    [
        "/api/x",
        "/restore/api/x",
        "/restore//api/x",
        "/restoreapi/x",
        "/restore",
        "/restore/",
        "/",
        "",
        "/x/restore/api",
    ],
)
@pytest.mark.parametrize("root_path", ["", "/restore", "/restore/"])
def test_paths_are_found_as_the_router_finds_them(path: str, root_path: str) -> None:
    """What the gate takes for another path than the router does, it would let through."""
    scope = {"path": path, "root_path": root_path}

    assert path_of(scope) == get_route_path(scope)


@pytest.mark.parametrize("root_path", ["/restore", "/restore/"])
def test_a_sub_path_is_closed_too(open_client: OpenClient, root_path: str) -> None:
    with open_client(api_keys=[ALICE]) as client:
        below = TestClient(client.app, root_path=root_path)
        for path in (f"{root_path}/api/available_controls", f"{root_path.rstrip('/')}/api/available_controls"):
            assert below.get(path).status_code in (401, 404)
            assert below.get(path, headers={"X-API-Key": "wrong"}).status_code != 200


class TestOtherSites:
    def test_answers_and_refusals_can_be_read(self, locked: TestClient) -> None:
        asked = {"Origin": ELSEWHERE, "X-API-Key": ALICE}
        large = {"image_file": ("a.png", bytes(3_000_000))}
        answers = [
            (200, locked.get("/api/available_controls", headers=asked)),
            (401, locked.get("/api/available_controls", headers={"Origin": ELSEWHERE})),
            (404, locked.get("/api/nothing", headers=asked)),
            (404, locked.get("/static_results/a.png", headers=asked)),
            (413, locked.post("/api/process_image", headers=asked, files=large)),
            (422, locked.post("/api/process_image", headers=asked)),
        ]
        for status, answer in answers:
            assert answer.status_code == status
            assert answer.headers["Access-Control-Allow-Origin"] == ELSEWHERE
            told = answer.headers["Access-Control-Expose-Headers"].split(", ")
            assert {"Location", "Retry-After", "ETag", "Content-Range", "WWW-Authenticate"} <= set(told)
            assert "Access-Control-Allow-Credentials" not in answer.headers

    def test_they_are_told_what_they_may_send(self, locked: TestClient) -> None:
        wanted = "authorization,idempotency-key,last-event-id,x-api-key"
        answer = locked.options(
            "/api/process_image",
            headers={
                "Origin": ELSEWHERE,
                "Access-Control-Request-Method": "POST",
                "Access-Control-Request-Headers": wanted,
            },
        )

        assert answer.status_code == 200
        assert answer.headers["Access-Control-Allow-Origin"] == ELSEWHERE
        assert "DELETE" in answer.headers["Access-Control-Allow-Methods"]
        assert set(wanted.split(",")) <= set(answer.headers["Access-Control-Allow-Headers"].lower().split(", "))

    def test_a_site_that_is_not_named_reads_nothing(self, locked: TestClient) -> None:
        answer = locked.get("/health", headers={"Origin": "https://evil.example"})

        assert "Access-Control-Allow-Origin" not in answer.headers

    def test_nobody_is_allowed_by_default(self, client: TestClient) -> None:
        answer = client.get("/health", headers={"Origin": ELSEWHERE})

        assert not [name for name in answer.headers if name.startswith("access-control-")]

    @pytest.mark.parametrize(
        "headers",
        [
            {"Sec-Fetch-Site": "cross-site", "Origin": "https://evil.example"},
            {"Sec-Fetch-Site": "same-site", "Origin": "http://testserver:3000"},
            {"Sec-Fetch-Site": "cross-site"},
            {"Origin": "https://evil.example"},
            {"Origin": "null"},
            {"Origin": "http://testserver.evil.example"},
            {"Origin": "http://testserver:8000"},
            {"Origin": "http://["},
            {"Origin": ""},
        ],
    )
    def test_their_pages_change_nothing(self, client: TestClient, headers: dict[str, str]) -> None:
        """A form on any page that the user visits would reach a hub that listens on his machine alone."""
        answer = client.post("/api/tasks/nothing/cancel", headers=headers)

        assert answer.status_code == 403
        assert answer.json()["code"] == "foreign_page"

    @pytest.mark.parametrize(
        "headers",
        [
            {},
            {"Sec-Fetch-Site": "same-origin", "Origin": "http://testserver"},
            {"Sec-Fetch-Site": "same-origin", "Origin": "https://name.of.the.proxy"},
            {"Sec-Fetch-Site": "none"},
            {"Origin": "http://testserver"},
            {"Origin": "http://TestServer:80"},
        ],
    )
    def test_programs_and_own_pages_may(self, client: TestClient, headers: dict[str, str]) -> None:
        assert client.post("/api/tasks/nothing/cancel", headers=headers).status_code == 404

    def test_named_sites_may(self, locked: TestClient) -> None:
        headers = {"X-API-Key": ALICE, "Origin": ELSEWHERE, "Sec-Fetch-Site": "cross-site"}

        assert locked.post("/api/tasks/nothing/cancel", headers=headers).status_code == 404

    def test_all_sites_may_where_the_settings_say_so(self, open_client: OpenClient) -> None:
        with open_client(cors_origins=["*"]) as client:
            headers = {"Origin": "https://evil.example", "Sec-Fetch-Site": "cross-site"}
            answer = client.post("/api/tasks/nothing/cancel", headers=headers)

            assert answer.status_code == 404
            assert answer.headers["Access-Control-Allow-Origin"] == "*"


def test_every_answer_has_the_common_headers(client: TestClient) -> None:
    for path in ("/health", "/docs", "/api/available_controls", "/api/nothing", "/static_results/a.png"):
        answer = client.get(path)
        assert answer.headers["X-Content-Type-Options"] == "nosniff", path
        assert answer.headers["Referrer-Policy"] == "same-origin", path
        assert (answer.headers.get("Cache-Control") == "no-store") is path.startswith("/api/"), path


def test_the_document_tells_of_keys_and_refusals(client: TestClient, locked: TestClient) -> None:
    for asked, optional in ((client, True), (locked, False)):
        document = asked.get("/openapi.json").json()
        assert document["components"]["securitySchemes"]["ApiKey"]["name"] == "X-API-Key"
        for path, operations in document["paths"].items():
            for method, operation in operations.items():
                if not path.startswith("/api/"):
                    assert "security" not in operation
                    continue
                assert ({} in operation["security"]) is optional
                expected = {"401", "429"} | ({"403", "408", "413"} if method in ("post", "delete") else set())
                assert expected <= set(operation["responses"])


def test_the_documented_refusals_are_the_real_ones(open_client: OpenClient) -> None:
    def refuse(client: TestClient, method: str, **headers: str) -> dict[str, Any]:
        answer: dict[str, Any] = client.request(method, "/api/tasks/x/cancel", headers=headers).json()
        return answer

    with open_client(api_keys=[ALICE], rate_limit="2/minute") as client:
        key = {"X-API-Key": ALICE}
        happened = {
            401: refuse(client, "POST"),
            403: refuse(client, "POST", Origin=ELSEWHERE, **key),
            413: client.post("/api/tasks/x/cancel", headers=key, content=bytes(100_000)).json(),
            429: refuse(client, "POST", **key),
        }
        shown = {
            example["value"]["status"]: SimpleNamespace(**example["value"])
            for answer in client.get("/openapi.json").json()["components"]["responses"].values()
            for example in answer["content"][PROBLEM]["examples"].values()
        }
    assert shown.keys() >= {*happened, 408}
    for status, problem in happened.items():
        assert problem["code"] == shown[status].code
        if status != 429:
            assert problem["detail"] == shown[status].detail
    assert problem["detail"].startswith("At most 2 per 1 minute are answered; please try again in ")
