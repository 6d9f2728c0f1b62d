"""Runs on an agency's host: sends the requests of standard input, writes the answers as JSON."""

from __future__ import annotations

import json
import ssl
import sys

import httpx

spec = json.load(sys.stdin)
answers = []
with httpx.Client(
    base_url=spec["url"], verify=ssl.create_default_context(cafile=spec["ca_file"]), timeout=30
) as client:
    for request in spec["requests"]:
        headers = dict(request.get("headers") or {})
        if request.get("token"):
            headers["Authorization"] = f"{request.get('scheme', 'Bearer ')}{request['token']}"
        content = request.get("content")
        answer = client.request(
            request["method"],
            request["path"],
            headers=headers,
            json=request.get("json"),
            content=None if content is None else content.encode(),
        )
        answers.append({"status": answer.status_code, "text": answer.text[:2000]})
json.dump(answers, sys.stdout)
