async def test_a(facade):
    r = await facade.http.post(
        "/v1/chat/completions",
        json={
            "model": "parley-starter",
            "messages": [{"role": "user", "content": "hi"}],
            "stream": True,
            "n": 2,
            "stream_options": {"include_usage": True},
        },
    )
    print(r.status_code, r.headers, r.text)
    r = await facade.http.post(
        "/v1/chat/completions",
        json={
            "model": "parley-starter",
            "messages": [{"role": "user", "content": "hi"}],
            "logprobs": True,
        },
    )
    print(r.status_code, r.headers, r.text)
    r = await facade.http.get("/v1/models")
    print(r.text)
    r = await facade.http.get("/v1/modelsx")
    print(r.status_code, r.text)
    r = await facade.http.put("/v1/models")
    print(r.status_code, r.text, r.headers)
    r = await facade.http.get("/")
    print(r.status_code, r.text, r.headers)
    r = await facade.http.get("/assets/x")
    print(r.status_code, r.text, r.headers)
    r = await facade.http.get("/healthz")
    print(r.status_code, r.text, r.headers)
    from prometheus_client import generate_latest

    print([l for l in generate_latest().decode().splitlines() if "gateway_requests_total" in l])
    r = await facade.http.post(
        "/v1/chat/completions",
        json={
            "model": "parley-starter",
            "messages": [
                {"role": "user", "content": [{"type": "text", "text": "a"}, {"type": "image_url"}]}
            ],
        },
    )
    print(r.text)
