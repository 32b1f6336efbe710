using System.Text;

namespace OpenSandbox.Host.Tests.BadInput;

/// <summary>All bad requests.</summary>
internal static class BadRequests
{
    private const string Box = "/api/sandboxes/{sb}";
    private const string Unknown = "/api/sandboxes/sb-00000000";

    /// <summary>Routes of a sandbox: method, what is behind its id, a body that would be good.</summary>
    private static readonly (string Method, string Below, string? Body)[] s_routes =
    [
        ("GET", "", null),
        ("DELETE", "", null),
        ("POST", "/timeout", """{"timeout":5}"""),
        ("POST", "/hibernate", null),
        ("POST", "/wake", "{}"),
        ("POST", "/exec/run", """{"cmd":"true"}"""),
        ("POST", "/exec/run-async", """{"cmd":"true"}"""),
        ("GET", "/exec/{exec}/result", null),
        ("POST", "/exec", """{"cmd":"true"}"""),
        ("GET", "/exec", null),
        ("GET", "/exec/{session}", null),
        ("POST", "/exec/{session}/kill", "{}"),
        ("POST", "/pty", "{}"),
        ("GET", "/pty/{terminal}", null),
        ("POST", "/pty/{terminal}/resize", """{"cols":80,"rows":24}"""),
        ("DELETE", "/pty/{terminal}", null),
        ("GET", "/files?path=/etc/hostname", null),
        ("PUT", "/files?path=/tmp/x", "x"),
        ("DELETE", "/files?path=/tmp/x", null),
        ("GET", "/files/list?path=/tmp", null),
        ("POST", "/files/mkdir?path=/tmp/d", null),
        ("POST", "/files/download-url", """{"path":"/tmp/x"}"""),
        ("POST", "/files/upload-url", """{"path":"/tmp/x"}"""),
        ("POST", "/checkpoints", """{"name":"x"}"""),
        ("GET", "/checkpoints", null),
        ("POST", "/checkpoints/{checkpoint}/restore", null),
        ("DELETE", "/checkpoints/{checkpoint}", null),
        ("PUT", "/limits", """{"memoryMB":512}"""),
        ("POST", "/scale", """{"memoryMB":512}"""),
        ("GET", "/tags", null),
        ("PUT", "/tags", "{}"),
        ("POST", "/reboot", null),
        ("POST", "/power-cycle", null),
        ("GET", "/allowed-hosts", null),
        ("GET", "/scaling-lock", null),
        ("PUT", "/scaling-lock", """{"locked":false}"""),
        ("GET", "/autoscale", null),
        ("PUT", "/autoscale", """{"enabled":false}"""),
        ("POST", "/preview", """{"port":80}"""),
        ("GET", "/preview", null),
        ("POST", "/preview/rotate", null),
        ("DELETE", "/preview/80", null),
        ("POST", "/checkpoints/{checkpoint}/publish", null),
        ("POST", "/checkpoints/{checkpoint}/unpublish", null),
        ("GET", "/usage", null),
    ];

    /// <summary>Routes that read JSON.</summary>
    private static readonly (string Method, string Target)[] s_json =
    [
        ("POST", "/api/sandboxes"),
        ("POST", Box + "/timeout"),
        ("POST", Box + "/exec/run"),
        ("POST", Box + "/exec/run-async"),
        ("POST", Box + "/exec"),
        ("POST", Box + "/exec/{session}/kill"),
        ("POST", Box + "/pty"),
        ("POST", Box + "/pty/{terminal}/resize"),
        ("POST", Box + "/files/download-url"),
        ("POST", Box + "/checkpoints"),
        ("POST", "/api/sandboxes/from-checkpoint/{checkpoint}"),
        ("PUT", Box + "/limits"),
        ("POST", Box + "/scale"),
        ("PUT", Box + "/tags"),
        ("PUT", Box + "/scaling-lock"),
        ("PUT", Box + "/autoscale"),
        ("POST", Box + "/preview"),
        ("POST", "/api/sandboxes/checkpoints/{checkpoint}/patches"),
        ("POST", "/api/snapshots"),
    ];

    /// <summary>Bodies that are nothing that any of them reads.</summary>
    private static readonly (string Name, object Body)[] s_noJson =
    [
        ("text", "hello"),
        ("array", "[]"),
        ("number", "42"),
        ("null", "null"),
        ("cut short", """{"a":"""),
        ("two values", "{}{}"),
        ("bad UTF-8", new byte[] { (byte)'{', (byte)'"', 0xC3, 0x28, (byte)'"', (byte)':', (byte)'1', (byte)'}' }),
        ("bad UTF-8 in values", (byte[])[.. """{"cmd":"""u8, (byte)'"', 0xFF, 0xFE, (byte)'"', .. ""","name":"""u8, (byte)'"', 0xFF, (byte)'"', .. ""","path":"""u8, (byte)'"', 0xFF, (byte)'"', .. ""","shell":"""u8, (byte)'"', 0xFF, (byte)'"', .. ""","alias":"""u8, (byte)'"', 0xFF, (byte)'"', .. ""","timeout":"x","signal":"x","cols":"x","memoryMB":"x","x":1}"""u8]),
        ("deep", string.Concat(Enumerable.Repeat("""{"a":""", 5_000)) + "1" + new string('}', 5_000)),
        ("comments", "/* */ {}"),
        ("byte order mark of UTF-16", Encoding.Unicode.GetPreamble().Concat(Encoding.Unicode.GetBytes("{}")).ToArray()),
        ("too large", new string(' ', (1 << 20) + 1)),
    ];

    internal static IReadOnlyDictionary<string, BadRequest> All { get; } =
        Matrix().Concat(Specific()).Concat(BadDialectRequests.All).ToDictionary(static request => request.Name, StringComparer.Ordinal);

    private static IEnumerable<BadRequest> Matrix()
    {
        foreach ((string method, string below, string? body) in s_routes)
        {
            string name = $"{method} {(below.Length == 0 ? "(sandbox)" : below)}";
            yield return new BadRequest($"{name}: no such sandbox", 404, method, Unknown + below, body);
            yield return new BadRequest($"{name}: no key", 401, method, Box + below, body, "X-API-Key:") { Says = "missing API key" };
            yield return new BadRequest($"{name}: wrong key", 403, method, Box + below, body, "X-API-Key: osb_wrong") { Says = "invalid API key" };
            // Some tell of a sandbox that is gone, and its checkpoints outlive it.
            if (below is not ("" or "/wake" or "/usage") && (method, below) is not (("GET", "/checkpoints") or ("DELETE", "/checkpoints/{checkpoint}")))
            {
                yield return new BadRequest($"{name}: deleted sandbox", 410, method, "/api/sandboxes/{deleted}" + below, body);
            }
        }

        foreach ((string method, string target) in s_json)
        {
            foreach ((string name, object body) in s_noJson)
            {
                yield return new BadRequest($"{method} {target}: {name}", name == "too large" ? 413 : 400, method, target, body);
            }
        }

        foreach (string id in (string[])["sb-", "SB-00000000", "sb-0000000g", "%00", "%2e%2e", "..%2f..%2fetc%2fpasswd", "%ff%fe", "a%0d%0ab", "*", "sb-" + new string('0', 4_000), "%F0%9F%98%80", "sb-00000000%20", "{sb}%00", "{sb}%20", "{sb}%2f"])
        {
            int status = id.Contains("%00", StringComparison.Ordinal) ? 400 : 404; // the web server itself refuses NUL
            yield return new BadRequest($"GET sandbox with the id '{id[..Math.Min(id.Length, 24)]}'", status, "GET", $"/api/sandboxes/{id}");
            yield return new BadRequest($"POST exec/run with the id '{id[..Math.Min(id.Length, 24)]}'", status, "POST", $"/api/sandboxes/{id}/exec/run", """{"cmd":"true"}""");
        }
    }

    private static IEnumerable<BadRequest> Specific()
    {
        // Methods and places
        yield return new BadRequest("no such route", 404, "GET", "/api/nothing");
        yield return new BadRequest("no such route below a sandbox", 404, "GET", Box + "/nothing");
        yield return new BadRequest("root", 404, "GET", "/");
        yield return new BadRequest("no such route without key", 401, "GET", "/api/nothing", null, "X-API-Key:");
        foreach ((string method, string target) in ((string, string)[])[("PATCH", "/api/sandboxes"), ("DELETE", "/api/sandboxes"), ("PUT", Box), ("GET", Box + "/timeout"), ("PUT", Box + "/exec/run"), ("DELETE", Box + "/exec/run"), ("POST", Box + "/files?path=/tmp/x"), ("POST", Box + "/tags"), ("GET", Box + "/limits"), ("TRACE", Box), ("FOO", Box), ("POST", "/health")])
        {
            yield return new BadRequest($"method {method} {target}", 405, method, target, method is "POST" or "PUT" or "PATCH" ? "{}" : null);
        }

        // Create
        foreach ((string body, int status, string says) in ((string, int, string)[])[
            ("""{"templateID":"none"}""", 404, "template not found"),
            ("""{"templateID":7}""", 400, "JSON"),
            ("""{"templateID":["base"]}""", 400, "JSON"),
            ("""{"templateID":"../base"}""", 404, "template"),
            ("""{"timeout":-1}""", 400, "timeout"),
            ("""{"timeout":1.5}""", 400, "JSON"),
            ("""{"timeout":"300"}""", 400, "JSON"),
            ("""{"timeout":99999999999}""", 400, "JSON"),
            ("""{"timeout":31536001}""", 400, "timeout"),
            ("""{"memoryMB":0}""", 400, "memoryMB"),
            ("""{"memoryMB":-512}""", 400, "memoryMB"),
            ("""{"memoryMB":255}""", 400, "memoryMB"),
            ("""{"memoryMB":1048576}""", 400, "memoryMB"),
            ("""{"memoryMB":"512"}""", 400, "JSON"),
            ("""{"memoryMB":true}""", 400, "JSON"),
            ("""{"memoryMB":1e99}""", 400, "JSON"),
            ("""{"cpuCount":0}""", 400, "cpuCount"),
            ("""{"cpuCount":5}""", 400, "cpuCount"),
            ("""{"cpuCount":4,"memoryMB":1024}""", 400, "cpuCount"),
            ("""{"diskMB":1}""", 400, "diskMB"),
            ("""{"diskMB":262145}""", 400, "diskMB"),
            ("""{"envs":[]}""", 400, "JSON"),
            ("""{"envs":{"A":1}}""", 400, "JSON"),
            ("""{"envs":{"A":null}}""", 400, "A"),
            ("""{"envs":{"A=B":"x"}}""", 400, "A=B"),
            ("""{"envs":{"":"x"}}""", 400, "environment"),
            ("""{"envs":{"A":"x\u0000y"}}""", 400, "NUL"),
            ("""{"envs":{"A":"\ud800"}}""", 400, "JSON"),
            ("""{"metadata":"x"}""", 400, "JSON"),
            ("""{"metadata":{"a":{}}}""", 400, "JSON"),
            ("""{"metadata":{"a":null}}""", 400, "metadata"),
            ("""{"egressAllowlist":"example.org"}""", 400, "JSON"),
            ("""{"egressAllowlist":["http://example.org"]}""", 400, "http://example.org"),
            ("""{"egressAllowlist":[null]}""", 400, "egressAllowlist"),
            ("""{"networkEnabled":"no"}""", 400, "JSON"),
            ("""{"alias":7}""", 400, "JSON")])
        {
            yield return new BadRequest($"create {body}", status, "POST", "/api/sandboxes", body) { Says = says };
        }

        yield return new BadRequest("create with an alias of a megabyte", 400, "POST", "/api/sandboxes", $$"""{"alias":"{{new string('a', 900_000)}}"}""") { Says = "alias" };
        yield return new BadRequest("create with metadata of a megabyte", 400, "POST", "/api/sandboxes", $$$"""{"metadata":{"a":"{{{new string('a', 900_000)}}}"}}""") { Says = "metadata" };
        yield return new BadRequest("create with 10,000 variables", 400, "POST", "/api/sandboxes", $$$"""{"envs":{{{{string.Join(',', Enumerable.Range(0, 10_000).Select(static i => $"\"V{i}\":\"{new string('v', 60)}\""))}}}}}""") { Says = "environment" };

        // Timeouts
        foreach ((string body, string says) in ((string, string)[])[("{}", "timeout"), ("""{"timeout":null}""", "timeout"), ("""{"timeout":-5}""", "timeout"), ("""{"timeout":2147483648}""", "JSON"), ("""{"timeout":{}}""", "JSON"), ("""{"timeout":31536001}""", "timeout")])
        {
            yield return new BadRequest($"timeout {body}", 400, "POST", Box + "/timeout", body) { Says = says };
        }

        yield return new BadRequest("wake what runs", 400, "POST", Box + "/wake", "{}") { Says = "not hibernated" };

        // Commands
        foreach (string route in (string[])["/exec/run", "/exec/run-async", "/exec"])
        {
            foreach ((string body, string says) in ((string, string)[])[
                ("{}", "cmd is required"),
                ("""{"cmd":""}""", "cmd is required"),
                ("""{"cmd":null}""", "cmd is required"),
                ("""{"cmd":["ls"]}""", "JSON"),
                ("""{"cmd":"true","args":"x"}""", "JSON"),
                ("""{"cmd":"true","args":[1]}""", "JSON"),
                ("""{"cmd":"true","args":[null]}""", "args"),
                ("""{"cmd":"tr\u0000ue","args":["a"]}""", "NUL"),
                ("""{"cmd":"true","args":["a\u0000b"]}""", "NUL"),
                ("""{"cmd":"true","envs":{"A=":"x"}}""", "A="),
                ("""{"cmd":"true","envs":{"A":null}}""", "A"),
                ("""{"cmd":"true","envs":[["A","b"]]}""", "JSON"),
                ("""{"cmd":"true","timeout":-1}""", "timeout"),
                ("""{"cmd":"true","timeout":1e300}""", "timeout"),
                ("""{"cmd":"true","timeout":"1"}""", "JSON"),
                ("""{"cmd":"true","cwd":7}""", "JSON"),
                ("""{"cmd":"true","cwd":"a\u0000b"}""", "")])
            {
                yield return new BadRequest($"{route} {body}", 400, "POST", Box + route, body) { Says = says };
            }
        }

        yield return new BadRequest("exec/run of white space", 400, "POST", Box + "/exec/run", """{"cmd":"   "}""") { Says = "cmd" };
        yield return new BadRequest("exec with a negative life", 400, "POST", Box + "/exec", """{"cmd":"true","maxRunAfterDisconnect":-1}""");
        yield return new BadRequest("exec with an endless life", 400, "POST", Box + "/exec", """{"cmd":"true","maxRunAfterDisconnect":2592001}""") { Says = "2592000" };
        yield return new BadRequest("exec with arguments beyond all bounds", 400, "POST", Box + "/exec/run", $$"""{"cmd":"true","args":["{{new string('a', 1_000_000)}}"]}""");
        yield return new BadRequest("result of no execution", 404, "GET", Box + "/exec/ffffffff/result");
        yield return new BadRequest("result of another sandbox's execution", 404, "GET", "/api/sandboxes/{other}/exec/{exec}/result");

        // Sessions
        string[] upgrade = ["Upgrade: websocket", "Sec-WebSocket-Version: 13", "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="];
        yield return new BadRequest("attach without WebSocket", 426, "GET", Box + "/exec/{session}");
        yield return new BadRequest("attach to a terminal without WebSocket", 426, "GET", Box + "/pty/{terminal}");
        yield return new BadRequest("attach to no session", 404, "GET", Box + "/exec/ffffffff", null, upgrade);
        yield return new BadRequest("attach to another sandbox's session", 404, "GET", "/api/sandboxes/{other}/exec/{session}", null, upgrade);
        yield return new BadRequest("attach to another sandbox's terminal", 404, "GET", "/api/sandboxes/{other}/pty/{terminal}", null, upgrade);
        yield return new BadRequest("attach to a terminal as a command", 404, "GET", Box + "/exec/{terminal}", null, upgrade);
        yield return new BadRequest("attach to a command as a terminal", 404, "GET", Box + "/pty/{session}", null, upgrade);
        yield return new BadRequest("attach to an odd id", 404, "GET", Box + "/exec/..%2f{session}", null, upgrade);
        yield return new BadRequest("attach without key", 401, "GET", Box + "/exec/{session}", null, ["X-API-Key:", .. upgrade]);
        yield return new BadRequest("attach with a wrong key in the query", 403, "GET", Box + "/exec/{session}?api_key=osb_wrong", null, ["X-API-Key:", .. upgrade]);
        yield return new BadRequest("attach with an old version of WebSocket", 426, "GET", Box + "/exec/{session}", null, "Upgrade: websocket", "Sec-WebSocket-Version: 8", "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==");
        yield return new BadRequest("attach without a WebSocket key", 426, "GET", Box + "/exec/{session}", null, "Upgrade: websocket", "Sec-WebSocket-Version: 13");
        yield return new BadRequest("kill of no session", 404, "POST", Box + "/exec/ffffffff/kill", "{}");
        yield return new BadRequest("kill of another sandbox's session", 404, "POST", "/api/sandboxes/{other}/exec/{session}/kill", "{}");
        foreach (string body in (string[])["""{"signal":0}""", """{"signal":-9}""", """{"signal":65}""", """{"signal":"KILL"}""", """{"signal":9.5}"""])
        {
            yield return new BadRequest($"kill {body}", 400, "POST", Box + "/exec/{session}/kill", body) { Says = "signal" };
        }

        foreach (string body in (string[])["""{"cols":0,"rows":24}""", """{"cols":80,"rows":-1}""", """{"cols":100000,"rows":24}""", """{"cols":"80"}"""])
        {
            yield return new BadRequest($"pty {body}", 400, "POST", Box + "/pty", body);
            yield return new BadRequest($"resize {body}", 400, "POST", Box + "/pty/{terminal}/resize", body);
        }

        yield return new BadRequest("pty with NUL in its shell", 400, "POST", Box + "/pty", """{"shell":"/bin/sh\u0000"}""");
        yield return new BadRequest("resize without size", 400, "POST", Box + "/pty/{terminal}/resize", "{}");
        yield return new BadRequest("resize of no terminal", 404, "POST", Box + "/pty/ffffffff/resize", """{"cols":80,"rows":24}""");
        yield return new BadRequest("resize of another sandbox's terminal", 404, "POST", "/api/sandboxes/{other}/pty/{terminal}/resize", """{"cols":80,"rows":24}""");
        yield return new BadRequest("close of another sandbox's terminal", 404, "DELETE", "/api/sandboxes/{other}/pty/{terminal}");

        // Files
        foreach ((string method, string rest) in ((string, string)[])[("GET", "/files"), ("PUT", "/files"), ("DELETE", "/files"), ("POST", "/files/mkdir")])
        {
            yield return new BadRequest($"{method} {rest} without path", 400, method, Box + rest, method == "PUT" ? "x" : null) { Says = "path" };
            yield return new BadRequest($"{method} {rest} with an empty path", 400, method, Box + rest + "?path=", method == "PUT" ? "x" : null) { Says = "path" };
            yield return new BadRequest($"{method} {rest} with NUL in the path", 400, method, Box + rest + "?path=/tmp/a%00b", method == "PUT" ? "x" : null) { Says = "path" };
            yield return new BadRequest($"{method} {rest} with a path of 5,000 characters", 400, method, Box + rest + "?path=/" + new string('p', 5_000), method == "PUT" ? "x" : null) { Says = "path" };
        }

        yield return new BadRequest("read of a missing file", 500, "GET", Box + "/files?path=/none") { Says = "none" };
        yield return new BadRequest("read of a directory", 500, "GET", Box + "/files?path=/tmp") { Says = "directory" };
        yield return new BadRequest("read of a file below a file", 500, "GET", Box + "/files?path=/etc/hostname/x");
        yield return new BadRequest("write of a file below a file", 404, "PUT", Box + "/files?path=/etc/hostname/x", "x");
        yield return new BadRequest("write onto a directory", 400, "PUT", Box + "/files?path=/tmp", "x");
        yield return new BadRequest("list of nothing", 404, "GET", Box + "/files/list?path=/none");
        yield return new BadRequest("list of a file", 404, "GET", Box + "/files/list?path=/etc/hostname");
        yield return new BadRequest("mkdir onto a file", 404, "POST", Box + "/files/mkdir?path=/etc/hostname");
        yield return new BadRequest("delete of the root", 400, "DELETE", Box + "/files?path=/");
        yield return new BadRequest("upload that says that it is too large", 413, "PUT", Box + "/files?path=/tmp/x", "", "Content-Length: 9000000000");
        yield return new BadRequest("upload that is too large", 413, "PUT", Box + "/files?path=/tmp/x", new byte[(8 << 20) + 1]);
        foreach ((string body, string says) in ((string, string)[])[("{}", "path is required"), ("""{"path":""}""", "path"), ("""{"path":"a\u0000"}""", "path"), ("""{"path":"/a","expiresIn":0}""", "expiresIn"), ("""{"path":"/a","expiresIn":86401}""", "expiresIn"), ("""{"path":"/a","expiresIn":"1h"}""", "JSON"), ("""{"path":["/a"]}""", "JSON")])
        {
            yield return new BadRequest($"download-url {body}", 400, "POST", Box + "/files/download-url", body) { Says = says };
            yield return new BadRequest($"upload-url {body}", 400, "POST", Box + "/files/upload-url", body) { Says = says };
        }

        string signature = new('0', 64);
        yield return new BadRequest("signed download without anything", 400, "GET", Box + "/files/download", null, "X-API-Key:") { Says = "missing" };
        yield return new BadRequest("signed download without signature", 400, "GET", Box + "/files/download?path=/a&expires=9999999999", null, "X-API-Key:");
        yield return new BadRequest("signed download with a time that is none", 400, "GET", Box + $"/files/download?path=/a&expires=soon&signature={signature}", null, "X-API-Key:");
        yield return new BadRequest("signed download with a wrong signature", 403, "GET", Box + $"/files/download?path=/etc/passwd&expires=9999999999&signature={signature}", null, "X-API-Key:");
        yield return new BadRequest("signed download with a signature that is none", 403, "GET", Box + "/files/download?path=/a&expires=9999999999&signature=zz", null, "X-API-Key:");
        yield return new BadRequest("signed download with a wrong signature and a key", 403, "GET", Box + $"/files/download?path=/a&expires=9999999999&signature={signature}");
        yield return new BadRequest("signed upload with a wrong signature", 403, "PUT", Box + $"/files/upload?path=/a&expires=9999999999&signature={signature}", "x", "X-API-Key:");
        yield return new BadRequest("signed upload without path", 400, "PUT", Box + $"/files/upload?expires=9999999999&signature={signature}", "x", "X-API-Key:");
        yield return new BadRequest("signed download of a sandbox that is none", 403, "GET", Unknown + $"/files/download?path=/a&expires=9999999999&signature={signature}", null, "X-API-Key:");

        // Checkpoints
        foreach ((string body, int status, string says) in ((string, int, string)[])[
            ("{}", 400, "name"), ("""{"name":""}""", 400, "name"), ("""{"name":7}""", 400, "JSON"), ($$"""{"name":"{{new string('n', 257)}}"}""", 400, "name"),
            ("""{"name":"x","kind":"half"}""", 400, "kind"), ("""{"name":"x","kind":1}""", 400, "JSON"), ("""{"name":"taken","kind":"disk_only"}""", 409, "taken"),
            ("""{"name":"x","retentionPolicy":{"mode":"delete_newest"}}""", 400, "retentionPolicy"),
            ("""{"name":"x","retentionPolicy":{"mode":"delete_oldest","maxCount":0}}""", 400, "maxCount"),
            ("""{"name":"x","retentionPolicy":7}""", 400, "JSON"),
            ("""{"name":"a\u0000b","kind":"disk_only"}""", 400, "name")])
        {
            yield return new BadRequest($"checkpoint {body}", status, "POST", Box + "/checkpoints", body) { Says = says };
        }

        const string none = "12345678-1234-8123-8100-000000000000";
        foreach (string id in (string[])[none, "00000000-0000-0000-0000-000000000000", "x", "sn-", "..%2f..", "%00", "sn-0123456789abcdeg"])
        {
            int status = id == "%00" ? 400 : 404;
            yield return new BadRequest($"restore of {id}", status, "POST", Box + $"/checkpoints/{id}/restore");
            yield return new BadRequest($"delete of checkpoint {id}", status, "DELETE", Box + $"/checkpoints/{id}");
            yield return new BadRequest($"fork of {id}", status, "POST", $"/api/sandboxes/from-checkpoint/{id}", "{}");
        }

        yield return new BadRequest("restore of another sandbox's checkpoint", 404, "POST", "/api/sandboxes/{other}/checkpoints/{checkpoint}/restore");
        yield return new BadRequest("delete of another sandbox's checkpoint", 404, "DELETE", "/api/sandboxes/{other}/checkpoints/{checkpoint}");
        foreach ((string body, int status, string says) in ((string, int, string)[])[("""{"timeout":-1}""", 400, "timeout"), ("""{"timeout":"x"}""", 400, "JSON"), ("""{"envs":{"A=":""}}""", 400, "A="), ("""{"envs":{"A":null}}""", 400, "A"), ("""{"memoryMB":0}""", 400, "memoryMB"), ("""{"memoryMB":-1}""", 400, "memoryMB"), ("""{"metadata":{"a":null}}""", 400, "metadata")])
        {
            yield return new BadRequest($"fork {body}", status, "POST", "/api/sandboxes/from-checkpoint/{checkpoint}", body) { Says = says };
        }

        // Sizes and tags
        foreach ((string body, string says) in ((string, string)[])[("""{"memoryMB":-1}""", "memoryMB"), ("""{"memoryMB":128}""", "memoryMB"), ("""{"memoryMB":1048576}""", "memoryMB"), ("""{"memoryMB":"1024"}""", "JSON"), ("""{"memoryMB":512.5}""", "JSON")])
        {
            yield return new BadRequest($"limits {body}", 400, "PUT", Box + "/limits", body) { Says = says };
            yield return new BadRequest($"scale {body}", 400, "POST", Box + "/scale", body) { Says = says };
        }

        yield return new BadRequest("scale without size", 400, "POST", Box + "/scale", "{}") { Says = "memoryMB" };
        yield return new BadRequest("scale to null", 400, "POST", Box + "/scale", """{"memoryMB":null}""") { Says = "memoryMB" };
        yield return new BadRequest("limits of nothing", 400, "PUT", Box + "/limits", "{}");
        yield return new BadRequest("limits with cpuPercent 0", 400, "PUT", Box + "/limits", """{"cpuPercent":0}""");
        yield return new BadRequest("limits with cpuPercent beyond", 400, "PUT", Box + "/limits", """{"cpuPercent":1000000}""");
        yield return new BadRequest("limits with maxPids 0", 400, "PUT", Box + "/limits", """{"maxPids":0}""");
        foreach ((string name, string body) in ((string, string)[])[
            ("a number", """{"a":1}"""), ("null", """{"a":null}"""), ("an object", """{"a":{}}"""), ("a reserved name", """{"oc:a":"b"}"""), ("an empty name", """{"":"b"}"""),
            ("a long name", $$"""{"{{new string('k', 129)}}":"b"}"""), ("a long value", $$"""{"a":"{{new string('v', 257)}}"}"""), ("51 tags", $$"""{{{string.Join(',', Enumerable.Range(0, 51).Select(static i => $"\"t{i}\":\"\""))}}}""")])
        {
            yield return new BadRequest($"tags with {name}", 400, "PUT", Box + "/tags", body);
        }

        // Headers
        yield return new BadRequest("two keys in the header", 403, "GET", "/api/sandboxes", null, $"X-API-Key: {ServerFixture.Key}, {ServerFixture.OtherKey}");
        yield return new BadRequest("a key as a basic password", 401, "GET", "/api/sandboxes", null, "X-API-Key:", "Authorization: Basic b3NiX3Rlc3Q6");
        yield return new BadRequest("a wrong bearer token", 403, "GET", "/api/sandboxes", null, "X-API-Key:", "Authorization: Bearer eyJhbGciOiJub25lIn0.e30.");
        yield return new BadRequest("a key of 30,000 characters", 403, "GET", "/api/sandboxes", null, "X-API-Key: " + new string('k', 30_000));
        yield return new BadRequest("a key in the wrong query parameter", 401, "GET", $"/api/sandboxes?key={ServerFixture.Key}", null, "X-API-Key:");
        yield return new BadRequest("a body cut off by its own length", 400, "POST", Box + "/exec/run", """{"cmd":"true"}""", "Content-Length: 5");
        yield return new BadRequest("chunks that are none", 400, "POST", Box + "/exec/run", "zz\r\n{}", "Transfer-Encoding: chunked");
        yield return new BadRequest("a length and chunks", 400, "POST", Box + "/exec/run", "0\r\n\r\n", "Transfer-Encoding: chunked", "Transfer-Encoding: identity");
        yield return new BadRequest("an encoding that is none", 400, "POST", Box + "/exec/run", "x", "Transfer-Encoding: gzip");
    }
}
