using OpenSandbox.Host.Json;

namespace OpenSandbox.Host.OpenApi;

/// <summary>Every route of the server, as its document tells it. A test compares the table with what is mapped.</summary>
internal static class ApiOperations
{
    private const string Sandboxes = "Sandboxes";
    private const string Commands = "Commands";
    private const string Sessions = "Sessions";
    private const string Files = "Files";
    private const string Checkpoints = "Checkpoints";
    private const string Sizes = "Sizes and tags";
    private const string Server = "Server";
    private const string Bytes = "application/octet-stream";
    private const string Box = "/api/sandboxes/{id}";
    private const int Created = StatusCodes.Status201Created;
    private const int NoContent = StatusCodes.Status204NoContent;

    private static readonly HostJsonContext s_json = HostJsonContext.Default;

    private static readonly (string Name, bool IsRequired, string Description) s_path =
        ("path", true, "A path in the sandbox; a relative one begins at /home/sandbox");

    private static readonly (string Name, bool IsRequired, string Description)[] s_signed =
        [s_path, ("expires", true, "Until when it holds, seconds since 1970"), ("signature", true, "HMAC-SHA256, hexadecimal")];

    /// <summary>All of them, in the order of the document.</summary>
    internal static IReadOnlyList<ApiOperation> All { get; } =
    [
        new("POST", "/api/sandboxes", Sandboxes, "Make a sandbox: it can be used when this returns") { Request = s_json.CreateSandboxRequest, Reply = s_json.SandboxReply, Status = Created, Errors = [404, 503] },
        new("GET", "/api/sandboxes", Sandboxes, "List the running sandboxes, the latest 100") { Reply = s_json.SandboxReplyArray },
        new("GET", Box, Sandboxes, "Describe a sandbox") { Reply = s_json.SandboxReply },
        new("DELETE", Box, Sandboxes, "Delete a sandbox, with its disks") { Status = NoContent },
        new("POST", Box + "/timeout", Sandboxes, "Change how long it may be idle; 0: for ever") { Request = s_json.TimeoutRequest, Status = NoContent },
        new("POST", Box + "/hibernate", Sandboxes, "Save its memory and disks, and end its VM") { Reply = s_json.SandboxReply },
        new("POST", Box + "/wake", Sandboxes, "Let it run on; its use does so, too") { Request = s_json.TimeoutRequest, Reply = s_json.SandboxReply },
        new("POST", Box + "/exec/run", Commands, "Run a command to its end") { Request = s_json.ExecRequest, Reply = s_json.ExecReply },
        new("POST", Box + "/exec/run-async", Commands, "Run a command: answered with its result if it ends at once, else with what to ask after") { Request = s_json.ExecRequest, Reply = s_json.ExecReply, Other = (StatusCodes.Status202Accepted, s_json.ExecHandleReply) },
        new("GET", Box + "/exec/{execId}/result", Commands, "Wait up to half a second for a command's result") { Reply = s_json.ExecResultReply },
        new("POST", Box + "/exec", Sessions, "Start a command to attach to") { Request = s_json.ExecRequest, Reply = s_json.SessionReply, Status = Created },
        new("GET", Box + "/exec", Sessions, "List commands that can be attached to") { Reply = s_json.SessionReplyArray },
        new("GET", Box + "/exec/{sessionId}", Sessions, "Attach to a command by WebSocket: binary messages that begin with the number of a stream") { Status = 101, Query = [("api_key", false, "The key, where headers cannot be set")], Errors = [426] },
        new("POST", Box + "/exec/{sessionId}/kill", Sessions, "Send a signal to a command; 9 by default") { Request = s_json.KillRequest, Status = NoContent },
        new("POST", Box + "/pty", Sessions, "Open a terminal") { Request = s_json.PtyRequest, Reply = s_json.SessionReply, Status = Created },
        new("GET", Box + "/pty/{sessionId}", Sessions, "Attach to a terminal by WebSocket: bare bytes") { Status = 101, Query = [("api_key", false, "The key, where headers cannot be set")], Errors = [426] },
        new("POST", Box + "/pty/{sessionId}/resize", Sessions, "Change a terminal's size") { Request = s_json.PtyRequest },
        new("DELETE", Box + "/pty/{sessionId}", Sessions, "Close a terminal") { Status = NoContent },
        new("GET", Box + "/files", Files, "Read a file; one that is not there is a 500 with the code not_found") { RawReply = Bytes, Query = [s_path], Errors = [500] },
        new("PUT", Box + "/files", Files, "Write a file, with the directories above it") { RawRequest = Bytes, Status = NoContent, Query = [s_path], Errors = [413] },
        new("DELETE", Box + "/files", Files, "Delete a file, or a directory with all that is in it") { Status = NoContent, Query = [s_path] },
        new("GET", Box + "/files/list", Files, "List a directory; / by default") { Reply = s_json.FileReplyArray, Query = [(s_path.Name, false, s_path.Description)], Errors = [413] },
        new("POST", Box + "/files/mkdir", Files, "Make a directory, with those above it") { Status = NoContent, Query = [s_path] },
        new("POST", Box + "/files/download-url", Files, "Make a URL that reads a file without a key") { Request = s_json.SignUrlRequest, Reply = s_json.SignedUrlReply },
        new("POST", Box + "/files/upload-url", Files, "Make a URL that writes a file without a key") { Request = s_json.SignUrlRequest, Reply = s_json.SignedUrlReply },
        new("GET", Box + "/files/download", Files, "Read a file by a signed URL") { RawReply = Bytes, Query = s_signed, IsOpen = true },
        new("PUT", Box + "/files/upload", Files, "Write a file by a signed URL") { RawRequest = Bytes, Status = NoContent, Query = s_signed, IsOpen = true, Errors = [413] },
        new("POST", Box + "/checkpoints", Checkpoints, "Keep the state as it is now, and run on") { Request = s_json.CheckpointRequest, Reply = s_json.CheckpointReply, Status = Created, Errors = [409] },
        new("GET", Box + "/checkpoints", Checkpoints, "List a sandbox's checkpoints, the latest first") { Reply = s_json.CheckpointReplyArray },
        new("POST", Box + "/checkpoints/{checkpointId}/restore", Checkpoints, "Take a sandbox back to a checkpoint") { Reply = s_json.RestoreReply },
        new("DELETE", Box + "/checkpoints/{checkpointId}", Checkpoints, "Delete a checkpoint") { Status = NoContent },
        new("POST", "/api/sandboxes/from-checkpoint/{checkpointId}", Checkpoints, "Make a sandbox that begins where a checkpoint was taken") { Request = s_json.ForkRequest, Reply = s_json.SandboxReply, Status = Created, Errors = [404, 503] },
        new("PUT", Box + "/limits", Sizes, "Change memory, CPU and number of processes") { Request = s_json.LimitsBody, Reply = s_json.LimitsBody, Errors = [409] },
        new("POST", Box + "/scale", Sizes, "Change the memory, and the CPU with it") { Request = s_json.LimitsBody, Reply = s_json.LimitsBody, Errors = [409] },
        new("GET", Box + "/tags", Sizes, "Tell the tags") { Reply = s_json.TagsReply },
        new("PUT", Box + "/tags", Sizes, "Replace the tags") { Request = s_json.DictionaryStringString, Reply = s_json.TagsReply },
        new("GET", "/health", Server, "Whether the server is there") { Reply = s_json.StatusReply, IsOpen = true },
        new("GET", "/healthz", Server, "Whether the server is alive") { Reply = s_json.StatusReply, IsOpen = true },
        new("GET", "/readyz", Server, "Whether sandboxes can be made, else why not") { Reply = s_json.StatusReply, IsOpen = true, Errors = [503] },
        new("GET", "/metrics", Server, "Metrics in Prometheus' text format") { RawReply = "text/plain" },
        new("GET", "/openapi.json", Server, "This document") { RawReply = "application/json", IsOpen = true },
    ];
}
