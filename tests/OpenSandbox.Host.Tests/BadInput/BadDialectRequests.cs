namespace OpenSandbox.Host.Tests.BadInput;

/// <summary>Bad requests to previews, images, patches, scaling and usage, and to what is not there.</summary>
internal static class BadDialectRequests
{
    private const string Box = "/api/sandboxes/{sb}";
    private const string Patches = "/api/sandboxes/checkpoints/{checkpoint}/patches";
    private const string NoKey = "X-API-Key:";
    private const string NoCheckpoint = "12345678-1234-8123-8100-000000000000";

    /// <summary>Routes that are of no single sandbox.</summary>
    private static readonly (string Method, string Target, string? Body)[] s_routes =
    [
        ("GET", "/api/tags", null),
        ("GET", "/api/sessions", null),
        ("GET", "/api/usage", null),
        ("GET", "/api/images", null),
        ("GET", "/api/templates", null),
        ("GET", "/api/templates/base", null),
        ("POST", "/api/templates", "{}"),
        ("DELETE", "/api/templates/base", null),
        ("GET", "/api/snapshots", null),
        ("POST", "/api/snapshots", """{"name":"x","image":{}}"""),
        ("GET", "/api/snapshots/{snapshot}", null),
        ("DELETE", "/api/snapshots/{snapshot}", null),
        ("POST", Patches, """{"script":"true"}"""),
        ("GET", Patches, null),
        ("DELETE", Patches + "/{patch}", null),
        ("POST", "/api/sandboxes/checkpoints/{checkpoint}/publish", null),
        ("POST", "/api/sandboxes/checkpoints/{checkpoint}/unpublish", null),
        ("GET", "/api/webhooks", null),
        ("GET", "/metrics", null),
    ];

    internal static IEnumerable<BadRequest> All => Access().Concat(Missing()).Concat(Previews()).Concat(Images()).Concat(PatchesOfCheckpoints()).Concat(Scaling()).Concat(Usage());

    private static IEnumerable<BadRequest> Access()
    {
        foreach ((string method, string target, string? body) in s_routes)
        {
            yield return new BadRequest($"{method} {target}: no key", 401, method, target, body, NoKey) { Says = "missing API key" };
            yield return new BadRequest($"{method} {target}: wrong key", 403, method, target, body, "X-API-Key: osb_wrong") { Says = "invalid API key" };
        }

        foreach ((string method, string target) in ((string, string)[])[
            ("POST", "/api/tags"), ("DELETE", "/api/usage"), ("POST", "/api/images"), ("PUT", "/api/snapshots"), ("PATCH", "/api/snapshots/{snapshot}"), ("PUT", "/api/templates"),
            ("DELETE", "/api/sessions"), ("PATCH", Box + "/preview"), ("GET", Box + "/preview/rotate"), ("GET", Box + "/preview/80"), ("POST", Box + "/autoscale"),
            ("DELETE", Box + "/scaling-lock"), ("PUT", Patches), ("GET", Patches + "/{patch}"), ("GET", Box + "/checkpoints/{checkpoint}/publish"), ("GET", Box + "/reboot"),
            ("PUT", Box + "/power-cycle"), ("POST", Box + "/usage"), ("POST", Box + "/allowed-hosts"), ("POST", "/metrics"), ("POST", "/openapi.json")])
        {
            yield return new BadRequest($"method {method} {target}", 405, method, target, method is "GET" or "DELETE" ? null : "{}");
        }
    }

    private static IEnumerable<BadRequest> Missing()
    {
        foreach ((string method, string target) in ((string, string)[])[
            ("GET", "/api/secret-stores"), ("POST", "/api/secret-stores"), ("PUT", "/api/secret-stores/x/secrets/y"), ("GET", "/api/webhooks"), ("DELETE", "/api/webhooks/whk_1"),
            ("POST", Box + "/mounts"), ("GET", Box + "/mounts"), ("DELETE", Box + "/mounts?path=/x"), ("POST", Box + "/agent"), ("POST", Box + "/agent/x/kill"), ("POST", Box + "/migrate"),
            ("GET", Box + "/logs"), ("GET", "/api/workers"), ("GET", "/api/capacity"), ("POST", "/api/auth/token"), ("POST", "/api/templates"), ("DELETE", "/api/templates/base")])
        {
            yield return new BadRequest($"not there: {method} {target}", 501, method, target, method is "GET" or "DELETE" ? null : "{}") { Says = "does not have" };
        }

        yield return new BadRequest("create with a secret store", 501, "POST", "/api/sandboxes", """{"secretStore":"s"}""") { Says = "secret stores" };
        yield return new BadRequest("create with webhooks", 501, "POST", "/api/sandboxes", """{"webhooks":[{"url":"https://example.org"}]}""") { Says = "webhooks" };
        yield return new BadRequest("fork with a secret store", 501, "POST", "/api/sandboxes/from-checkpoint/{checkpoint}", """{"secretStore":"s"}""") { Says = "secret stores" };
        yield return new BadRequest("preview below another domain", 501, "POST", Box + "/preview", """{"port":80,"domain":"example.org"}""") { Says = "example.org" };
        foreach (string name in (string[])["none", "..%2f..%2fetc", "%ff", "BASE", "base%20"])
        {
            yield return new BadRequest($"template {name}", 404, "GET", $"/api/templates/{name}");
        }
    }

    private static IEnumerable<BadRequest> Previews()
    {
        foreach ((string body, string says) in ((string, string)[])[
            ("{}", "port is required"), ("""{"port":null}""", "port"), ("""{"port":0}""", "port"), ("""{"port":-80}""", "port"), ("""{"port":65536}""", "port"), ("""{"port":"80"}""", "JSON"),
            ("""{"port":80.5}""", "JSON"), ("""{"port":[80]}""", "JSON"), ("""{"port":99999999999}""", "JSON"), ("""{"port":80,"domain":7}""", "JSON"), ("""{"port":80,"authConfig":"x"}""", "authConfig"),
            ("""{"port":80,"authConfig":[]}""", "authConfig"), ("""{"port":80,"authConfig":1}""", "authConfig"), ($$$"""{"port":80,"authConfig":{"a":"{{{new string('a', 5_000)}}}"}}""", "authConfig")])
        {
            yield return new BadRequest($"preview {body[..Math.Min(body.Length, 60)]}", 400, "POST", Box + "/preview", body) { Says = says };
        }

        foreach (string port in (string[])["80", "0", "-1", "65536", "99999999999", "abc", "8%30", "%20", "..%2f80", "8000%2f"])
        {
            yield return new BadRequest($"delete of preview {port}", 404, "DELETE", Box + $"/preview/{port}");
        }

        foreach ((string auth, string says) in ((string, string)[])[
            ("\"x\"", "JSON"), ("[]", "JSON"), ("""{"scheme":"basic"}""", "scheme"), ("""{"scheme":7}""", "JSON"), ("""{"token":"short"}""", "token"), ("""{"token":"has a space in it somewhere"}""", "token"),
            ("""{"token":"0123456789;abcdef"}""", "token"), ("""{"token":"0123456789\u0000abcdef"}""", "token"), ("""{"token":"0123456789\r\nabcdef"}""", "token"), ("""{"token":7}""", "JSON"),
            ($$"""{"token":"{{new string('t', 600)}}"}""", "token")])
        {
            yield return new BadRequest($"create with previewAuth {auth[..Math.Min(auth.Length, 60)]}", 400, "POST", "/api/sandboxes", $$"""{"previewAuth":{{auth}}}""") { Says = says };
        }

        // What is behind previews needs no key, and a path that leaves them needs one.
        foreach ((int status, string target) in ((int, string)[])[
            (404, "/preview"), (404, "/preview/"), (404, "/preview/{sb}"), (404, "/preview/{sb}/0/"), (404, "/preview/{sb}/65536/"), (404, "/preview/{sb}/080/"), (404, "/preview/{sb}/-1/"), (404, "/preview/{sb}/x/"),
            (404, "/preview/SB-00000000/80/"), (404, "/preview/sb-00000000/80/"), (404, "/preview/..%2fsb/80/"), (404, "/preview/{sb}%20/80/"), (404, "/preview/" + new string('a', 3_000) + "/80/"),
            (410, "/preview/{deleted}/80/"), (400, "/preview/{sb}/8%30/"), (502, "/preview/{sb}/9/"), (502, "/preview/{sb}/9/..%2f..%2f..%2fapi/sandboxes"),
            (401, "/preview/{sb}/9/../../../api/sandboxes"), (401, "/preview/{sb}/9/%2e%2e/%2e%2e/%2e%2e/api/sandboxes"), (401, "/preview/../api/sandboxes"),
            (401, "/preview/{other}/9/"), (401, "/preview/{other}/9/?oc_preview_token=x"), (401, "/preview/{other}/9/?api_key=" + ServerFixture.Key)])
        {
            bool outside = target.Contains("/api/", StringComparison.Ordinal) || target is "/preview" or "/preview/" or "/preview/{sb}";
            yield return new BadRequest($"look at {target[..Math.Min(target.Length, 70)]}", outside && status == 404 ? 401 : status, "GET", target, null, NoKey);
        }

        yield return new BadRequest("look with a wrong token", 401, "GET", "/preview/{other}/9/", null, NoKey, "X-OC-Preview-Token: 0123456789abcdef") { Says = "token" };
        yield return new BadRequest("look with a wrong bearer", 401, "GET", "/preview/{other}/9/", null, NoKey, "Authorization: Bearer 0123456789abcdef") { Says = "token" };
        yield return new BadRequest("look with the key as bearer", 401, "GET", "/preview/{other}/9/", null, NoKey, $"Authorization: Bearer {ServerFixture.Key}") { Says = "token" };
        yield return new BadRequest("look with a wrong cookie", 401, "GET", "/preview/{other}/9/", null, NoKey, "Cookie: oc_preview_token=x") { Says = "token" };
        foreach ((int status, string method, string host) in ((int, string, string)[])[
            (404, "GET", "sb-00000000-p80.localhost"), (404, "GET", "{sb}-p0.localhost"), (404, "GET", "{sb}-p65536.localhost"), (404, "GET", "{sb}.localhost"), (404, "GET", "{sb}-p.localhost"), (404, "GET", "{sb}-p80x.localhost"),
            (410, "GET", "{deleted}-p80.localhost"), (401, "GET", "{other}-p80.localhost"), (502, "GET", "{sb}-p9.localhost"), (502, "POST", "{sb}-p9.localhost."), (405, "TRACE", "{sb}-p9.localhost")])
        {
            yield return new BadRequest($"look: {method} of host {host}", status, method, "/api/sandboxes", method == "POST" ? "x" : null, $"Host: {host}");
        }

        yield return new BadRequest("preview with a Host that is none", 400, "POST", Box + "/preview", """{"port":8099}""", "Host: localhost:99999") { Says = "Host" };
        yield return new BadRequest("look by a host name that is no port's", 404, "GET", "/", null, NoKey, "Host: sb-00000000.localhost") { Says = "no preview" };
        yield return new BadRequest("look by host name at no sandbox", 404, "GET", "/health", null, NoKey, "Host: sb-00000000-p80.localhost") { Says = "not found" };
        yield return new BadRequest("look by WebSocket where nothing listens", 502, "GET", "/preview/{sb}/9/", null, NoKey, "Upgrade: websocket", "Sec-WebSocket-Version: 13", "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==") { Says = "nothing listens" };
    }

    private static IEnumerable<BadRequest> Images()
    {
        foreach ((string image, string says) in ((string, string)[])[
            ("\"base\"", "image"), ("[]", "image"), ("7", "image"), ("true", "image"),
            ("""{"base":"alpine"}""", "alpine"), ("""{"base":7}""", "JSON"), ("""{"steps":"x"}""", "JSON"), ("""{"steps":[7]}""", "JSON"), ("""{"steps":[null]}""", "step 1"), ("""{"steps":[{}]}""", "step 1"),
            ("""{"steps":[{"type":"copy"}]}""", "copy"), ("""{"steps":[{"type":"run","args":[]}]}""", "JSON"), ("""{"steps":[{"type":"run"}]}""", "commands"), ("""{"steps":[{"type":"run","args":{"commands":[]}}]}""", "commands"),
            ("""{"steps":[{"type":"run","args":{"commands":[""]}}]}""", "commands"), ("""{"steps":[{"type":"run","args":{"commands":[null]}}]}""", "commands"), ("""{"steps":[{"type":"run","args":{"commands":["a\u0000b"]}}]}""", "commands"),
            ("""{"steps":[{"type":"apt_install","args":{"packages":["-o=x"]}}]}""", "-o=x"), ("""{"steps":[{"type":"apt_install","args":{"packages":["$(id)"]}}]}""", "$(id)"), ("""{"steps":[{"type":"apt_install","args":{"packages":["/etc"]}}]}""", "/etc"),
            ("""{"steps":[{"type":"pip_install","args":{"packages":["--index-url=x"]}}]}""", "--index-url"), ("""{"steps":[{"type":"pip_install","args":{"packages":"x"}}]}""", "JSON"), ("""{"steps":[{"type":"pip_install"}]}""", "packages"),
            ("""{"steps":[{"type":"env","args":{"vars":{}}}]}""", "vars"), ("""{"steps":[{"type":"env","args":{"vars":{"1A":"x"}}}]}""", "1A"), ("""{"steps":[{"type":"env","args":{"vars":{"A=":"x"}}}]}""", "A="),
            ("""{"steps":[{"type":"env","args":{"vars":{"A":"a\nb"}}}]}""", "variable A"), ("""{"steps":[{"type":"env","args":{"vars":{"A":null}}}]}""", "variable A"), ("""{"steps":[{"type":"env","args":{"vars":{"A":1}}}]}""", "JSON"),
            ("""{"steps":[{"type":"workdir"}]}""", "path"), ("""{"steps":[{"type":"workdir","args":{"path":"srv"}}]}""", "absolute"), ("""{"steps":[{"type":"workdir","args":{"path":"/a\u0000"}}]}""", "path"),
            ("""{"steps":[{"type":"add_file","args":{"content":"x"}}]}""", "path"), ("""{"steps":[{"type":"add_file","args":{"path":"/a","content":"%%","encoding":"base64"}}]}""", "base64"),
            ("""{"steps":[{"type":"add_file","args":{"path":"/a","content":"x","encoding":"rot13"}}]}""", "rot13"), ("""{"steps":[{"type":"add_dir","args":{"path":"/a"}}]}""", "files"),
            ("""{"steps":[{"type":"add_dir","args":{"path":"/a","files":[null]}}]}""", "relativePath"), ("""{"steps":[{"type":"add_dir","args":{"path":"/a","files":[{"relativePath":"../x","content":""}]}}]}""", "../x"),
            ("""{"steps":[{"type":"add_dir","args":{"path":"/a","files":[{"relativePath":"/x","content":""}]}}]}""", "/x"), ("""{"steps":[{"type":"add_dir","args":{"path":"/a","files":[{"relativePath":"b\\..\\x","content":""}]}}]}""", "relativePath"),
            ("""{"steps":[{"type":"add_dir","args":{"path":"/a","files":[{"relativePath":"b//x","content":""}]}}]}""", "relativePath"), ("""{"steps":[{"type":"add_dir","args":{"path":"/a","files":[{"relativePath":"b","content":"%"}]}}]}""", "base64"),
            ($$"""{"steps":[{{string.Join(',', Enumerable.Repeat("""{"type":"workdir","args":{"path":"/a"}}""", 201))}}]}""", "201 steps"),
            ("""{"steps":[],"Steps":[{"type":"run","args":{"commands":["x"]}}]}""", "steps"), ("""{"steps":[],"steps":[]}""", "JSON"), ("""{"more":"\ud800"}""", "Unicode"),
            ("""{"builderMemoryMB":"x"}""", "JSON"),
            ("""{"builderMemoryMB":1}""", "builderMemoryMB")])
        {
            string name = image[..Math.Min(image.Length, 90)];
            yield return new BadRequest($"snapshot of {name}", 400, "POST", "/api/snapshots", $$"""{"name":"x","image":{{image}}}""") { Says = says };
            yield return new BadRequest($"create of image {name}", 400, "POST", "/api/sandboxes", $$"""{"image":{{image}}}""", "Accept: text/event-stream") { Says = says };
        }

        foreach (string name in (string[])["\"\"", "null", "7", "\"../x\"", "\".x\"", "\"-x\"", "\"a/b\"", "\"a b\"", "\"ä\"", "\"a\\u0000b\"", $"\"{new string('n', 129)}\""])
        {
            yield return new BadRequest($"snapshot with the name {name}", 400, "POST", "/api/snapshots", $$$"""{"name":{{{name}}},"image":{}}""") { Says = name == "7" ? "JSON" : "name" };
        }

        yield return new BadRequest("snapshot without image", 400, "POST", "/api/snapshots", """{"name":"x"}""") { Says = "image is required" };
        yield return new BadRequest("snapshot with a name that is taken", 409, "POST", "/api/snapshots", """{"name":"{snapshot}","image":{}}""") { Says = "already" };
        yield return new BadRequest("snapshot with a name that is taken, asynchronously", 409, "POST", "/api/snapshots?async=1", """{"name":"{snapshot}","image":{}}""") { Says = "already" };
        foreach (string name in (string[])["none", "..%2f..%2fetc%2fpasswd", "%ff%fe", "{snapshot}%20", "{snapshot}.json", new string('n', 4_000)])
        {
            yield return new BadRequest($"snapshot {name[..Math.Min(name.Length, 30)]}", 404, "GET", $"/api/snapshots/{name}");
            yield return new BadRequest($"delete of snapshot {name[..Math.Min(name.Length, 30)]}", 404, "DELETE", $"/api/snapshots/{name}");
        }

        yield return new BadRequest("create from no snapshot", 404, "POST", "/api/sandboxes", """{"snapshot":"none"}""") { Says = "none" };
        yield return new BadRequest("create from a snapshot that is a path", 404, "POST", "/api/sandboxes", """{"snapshot":"../images/x"}""") { Says = "snapshot" };
        yield return new BadRequest("create from a snapshot that is a number", 400, "POST", "/api/sandboxes", """{"snapshot":7}""") { Says = "JSON" };
    }

    private static IEnumerable<BadRequest> PatchesOfCheckpoints()
    {
        foreach ((string body, string says) in ((string, string)[])[
            ("{}", "script is required"), ("""{"script":""}""", "script"), ("""{"script":null}""", "script"), ("""{"script":7}""", "JSON"), ("""{"script":["true"]}""", "JSON"), ("""{"script":"a\u0000b"}""", "script"),
            ($$"""{"script":"{{new string('x', (64 << 10) + 1)}}"}""", "script"), ($$"""{"script":"true","description":"{{new string('d', 1_025)}}"}""", "description"), ("""{"script":"true","description":{}}""", "JSON")])
        {
            yield return new BadRequest($"patch {body[..Math.Min(body.Length, 40)]}", 400, "POST", Patches, body) { Says = says };
        }

        foreach (string id in (string[])[NoCheckpoint, "00000000-0000-0000-0000-000000000000", "x", "..%2f..", "%ff"])
        {
            yield return new BadRequest($"patch of checkpoint {id}", 404, "POST", $"/api/sandboxes/checkpoints/{id}/patches", """{"script":"true"}""");
            yield return new BadRequest($"patches of checkpoint {id}", 404, "GET", $"/api/sandboxes/checkpoints/{id}/patches");
            yield return new BadRequest($"delete of a patch of checkpoint {id}", 404, "DELETE", $"/api/sandboxes/checkpoints/{id}/patches/{{patch}}");
            yield return new BadRequest($"delete of patch {id}", 404, "DELETE", $"{Patches}/{id}");
            yield return new BadRequest($"publish of {id}", 404, "POST", $"/api/sandboxes/checkpoints/{id}/publish");
            yield return new BadRequest($"unpublish of {id} of a sandbox", 404, "POST", $"{Box}/checkpoints/{id}/unpublish");
        }

        yield return new BadRequest("publish of another sandbox's checkpoint", 404, "POST", "/api/sandboxes/{other}/checkpoints/{checkpoint}/publish");
        yield return new BadRequest("unpublish of a checkpoint of no sandbox", 404, "POST", "/api/sandboxes/sb-00000000/checkpoints/{checkpoint}/unpublish");
    }

    private static IEnumerable<BadRequest> Scaling()
    {
        foreach (string body in (string[])["{}", """{"locked":null}"""])
        {
            yield return new BadRequest($"scaling-lock {body}", 400, "PUT", Box + "/scaling-lock", body) { Says = "locked is required" };
        }

        foreach (string body in (string[])["""{"locked":1}""", """{"locked":"true"}""", """{"locked":{}}"""])
        {
            yield return new BadRequest($"scaling-lock {body}", 400, "PUT", Box + "/scaling-lock", body) { Says = "JSON" };
        }

        foreach ((string body, string says) in ((string, string)[])[
            ("{}", "enabled is required"), ("""{"enabled":null}""", "enabled"), ("""{"enabled":1}""", "JSON"), ("""{"enabled":"yes"}""", "JSON"), ("""{"enabled":true,"minMemoryMB":0}""", "minMemoryMB"),
            ("""{"enabled":true,"minMemoryMB":-512}""", "minMemoryMB"), ("""{"enabled":true,"minMemoryMB":-2147483648}""", "minMemoryMB"), ("""{"enabled":true,"maxMemoryMB":1048576}""", "maxMemoryMB"),
            ("""{"enabled":true,"maxMemoryMB":2147483647}""", "maxMemoryMB"), ("""{"enabled":true,"minMemoryMB":1024,"maxMemoryMB":512}""", "maxMemoryMB"), ("""{"enabled":true,"minMemoryMB":"512"}""", "JSON"),
            ("""{"enabled":true,"maxMemoryMB":1e9}""", "JSON"), ("""{"enabled":true,"maxMemoryMB":99999999999}""", "JSON")])
        {
            yield return new BadRequest($"autoscale {body}", 400, "PUT", Box + "/autoscale", body) { Says = says };
        }
    }

    private static IEnumerable<BadRequest> Usage()
    {
        foreach ((string query, string says) in ((string, string)[])[
            ("from=yesterday", "from"), ("to=yesterday", "to"), ("from=2026-13-01", "from"), ("from=0001-01-01", "from"), ("to=9999-12-31T23:59:59Z", "to"), ("from=%00", "from"), ("from=%ff", "from"),
            ("from=2026-03-02T00:00:00Z&to=2026-03-01T00:00:00Z", "before"), ("from=2026-03-01&to=2026-03-01", "before")])
        {
            yield return new BadRequest($"usage with {query}", 400, "GET", $"/api/usage?{query}") { Says = says };
            yield return new BadRequest($"usage of a sandbox with {query}", 400, "GET", $"{Box}/usage?{query}") { Says = says };
        }

        foreach ((string query, string says) in ((string, string)[])[
            ("limit=0", "limit"), ("limit=-1", "limit"), ("limit=1001", "limit"), ("limit=many", "limit"), ("limit=1.5", "limit"), ("limit=99999999999", "limit"), ("cursor=-1", "cursor"), ("cursor=next", "cursor"),
            ("cursor=2147483647", "cursor"), ("groupBy=team", "groupBy"), ("groupBy=tag:", "groupBy"), ("groupBy=sandbox&groupBy=tag:a", "groupBy"), ("filter%5Bteam%5D=a", "filter"), ("filter%5Btag:%5D=a", "filter"),
            ("filter%5Btag:a=b", "filter"), ("filter%5Btag:a%5D=b&filter%5Btag:a%5D=c", "filter")])
        {
            yield return new BadRequest($"usage with {query}", 400, "GET", $"/api/usage?{query}") { Says = says };
        }
    }
}
