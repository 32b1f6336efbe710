using OpenSandbox.Host.Json;

namespace OpenSandbox.Host.OpenApi;

/// <summary>Every route of the server, as its document tells it. A test compares the table with what is mapped.</summary>
internal static class ApiOperations
{
    /// <summary>The method of a route that takes them all.</summary>
    internal const string Any = "*";

    private const string Sandboxes = "Sandboxes";
    private const string Commands = "Commands";
    private const string Sessions = "Sessions";
    private const string Files = "Files";
    private const string Checkpoints = "Checkpoints";
    private const string Sizes = "Sizes and tags";
    private const string Previews = "Previews";
    private const string Images = "Images";
    private const string Usage = "Usage";
    private const string Missing = "Not supported";
    private const string Server = "Server";
    private const string Bytes = "application/octet-stream";
    private const string Box = "/api/sandboxes/{id}";
    private const string Patches = "/api/sandboxes/checkpoints/{checkpointId}";
    private const int Created = StatusCodes.Status201Created;
    private const int NoContent = StatusCodes.Status204NoContent;

    private static readonly HostJsonContext s_json = HostJsonContext.Default;

    private static readonly (string Name, bool IsRequired, string Description) s_path =
        ("path", true, "A path in the sandbox; a relative one begins at /home/sandbox");

    private static readonly (string Name, bool IsRequired, string Description)[] s_signed =
        [s_path, ("expires", true, "Until when it holds, seconds since 1970"), ("signature", true, "HMAC-SHA256, hexadecimal")];

    private static readonly (string Name, bool IsRequired, string Description)[] s_span =
        [("from", false, "The first moment, such as 2026-03-01T00:00:00Z; 31 days before the last by default"), ("to", false, "The moment after the last; now by default")];

    /// <summary>All of them, in the order of the document.</summary>
    internal static IReadOnlyList<ApiOperation> All { get; } =
    [
        new("POST", "/api/sandboxes", Sandboxes, "Make a sandbox: it can be used when this returns. With an image and Accept: text/event-stream the building is told as it goes") { Request = s_json.CreateSandboxRequest, Reply = s_json.SandboxReply, Status = Created, Errors = [404, 409, 501, 503] },
        new("GET", "/api/sandboxes", Sandboxes, "List the running sandboxes, the latest 100") { Reply = s_json.SandboxReplyArray },
        new("GET", Box, Sandboxes, "Describe a sandbox") { Reply = s_json.SandboxReply },
        new("DELETE", Box, Sandboxes, "Delete a sandbox, with its disks") { Status = NoContent },
        new("POST", Box + "/timeout", Sandboxes, "Change how long it may be idle; 0: for ever") { Request = s_json.TimeoutRequest, Status = NoContent },
        new("POST", Box + "/hibernate", Sandboxes, "Save its memory and disks, and end its VM") { Reply = s_json.SandboxReply },
        new("POST", Box + "/wake", Sandboxes, "Let it run on; its use does so, too") { Request = s_json.TimeoutRequest, Reply = s_json.SandboxReply },
        new("POST", Box + "/reboot", Sandboxes, "Start it anew on its disks: files stay, processes and /tmp are lost") { Status = NoContent, Errors = [409] },
        new("POST", Box + "/power-cycle", Sandboxes, "The same") { Status = NoContent, Errors = [409] },
        new("GET", Box + "/allowed-hosts", Sandboxes, "Tell what it may reach; an empty list: every public address") { Reply = s_json.AllowedHostsReply },
        new("GET", "/api/sessions", Sandboxes, "List the sandboxes that there are or were, the latest 1,000") { Reply = s_json.HistoryReplyArray },
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
        new("POST", "/api/sandboxes/from-checkpoint/{checkpointId}", Checkpoints, "Make a sandbox that begins where a checkpoint was taken") { Request = s_json.ForkRequest, Reply = s_json.SandboxReply, Status = Created, Errors = [404, 501, 503] },
        new("POST", Patches + "/patches", Checkpoints, "Add a script that sandboxes of this checkpoint run once, in order, before they are used") { Request = s_json.PatchRequest, Reply = s_json.NewPatchReply, Status = Created },
        new("GET", Patches + "/patches", Checkpoints, "List a checkpoint's scripts") { Reply = s_json.PatchReplyArray },
        new("DELETE", Patches + "/patches/{patchId}", Checkpoints, "Take a script away; sandboxes that have run it are as they are") { Status = NoContent },
        new("POST", Patches + "/publish", Checkpoints, "Mark a checkpoint as one for all") { Reply = s_json.CheckpointReply },
        new("POST", Patches + "/unpublish", Checkpoints, "Take that mark away") { Reply = s_json.CheckpointReply },
        new("POST", Box + "/checkpoints/{checkpointId}/publish", Checkpoints, "Mark a checkpoint as one for all") { Reply = s_json.CheckpointReply },
        new("POST", Box + "/checkpoints/{checkpointId}/unpublish", Checkpoints, "Take that mark away") { Reply = s_json.CheckpointReply },
        new("PUT", Box + "/limits", Sizes, "Change memory, CPU and number of processes") { Request = s_json.LimitsBody, Reply = s_json.LimitsBody, Errors = [409] },
        new("POST", Box + "/scale", Sizes, "Change the memory, and the CPU with it") { Request = s_json.LimitsBody, Reply = s_json.LimitsBody, Errors = [409] },
        new("GET", Box + "/scaling-lock", Sizes, "Tell whether it keeps its size") { Reply = s_json.ScalingLockBody },
        new("PUT", Box + "/scaling-lock", Sizes, "Let it keep its size, whoever asks for another; that ends its autoscaling, too") { Request = s_json.ScalingLockBody, Reply = s_json.ScalingLockBody },
        new("GET", Box + "/autoscale", Sizes, "Tell how its size follows its load") { Reply = s_json.AutoscaleBody },
        new("PUT", Box + "/autoscale", Sizes, "Let its size follow its load, between two bounds; a size set by hand ends it") { Request = s_json.AutoscaleBody, Reply = s_json.AutoscaleBody },
        new("GET", "/api/tags", Sizes, "List the names of tags, with how many sandboxes have them") { Reply = s_json.TagKeysReply },
        new("GET", Box + "/tags", Sizes, "Tell the tags") { Reply = s_json.TagsReply },
        new("PUT", Box + "/tags", Sizes, "Replace the tags") { Request = s_json.DictionaryStringString, Reply = s_json.TagsReply },
        new("POST", Box + "/preview", Previews, "Give a port a URL; 200 if it has one") { Request = s_json.PreviewRequest, Reply = s_json.PreviewReply, Status = Created, Other = (StatusCodes.Status200OK, s_json.PreviewReply), Errors = [501] },
        new("GET", Box + "/preview", Previews, "List the ports that have URLs") { Reply = s_json.PreviewReplyArray },
        new("POST", Box + "/preview/rotate", Previews, "Let the URLs ask for a new token, which is told this once") { Reply = s_json.PreviewTokenReply },
        new("DELETE", Box + "/preview/{port}", Previews, "Take a port's URL away") { Status = NoContent },
        new(Any, "/preview/{id}/{port}/{**rest}", Previews, "The program that listens at a port of a sandbox, HTTP and WebSocket; by the sandbox's own host name it is at /. It takes the preview's token, not the key") { IsOpen = true },
        new("POST", "/api/snapshots", Images, "Build an image of steps and give it a name. With Accept: text/event-stream the building is told as it goes") { Request = s_json.SnapshotRequest, Reply = s_json.SnapshotReply, Status = Created, Other = (StatusCodes.Status202Accepted, s_json.SnapshotReply), Query = [("async", false, "1: do not wait until it is built; answered with 202")], Errors = [409] },
        new("GET", "/api/snapshots", Images, "List the named images") { Reply = s_json.SnapshotReplyArray },
        new("GET", "/api/snapshots/{name}", Images, "Tell how a named image stands: building, ready or failed") { Reply = s_json.SnapshotReply },
        new("DELETE", "/api/snapshots/{name}", Images, "Forget a name, and its image if nothing else uses that") { Status = NoContent },
        new("GET", "/api/images", Images, "List the images that have been built, the one that was used last first") { Reply = s_json.SnapshotReplyArray },
        new("GET", "/api/templates", Images, "List the templates: there is one") { Reply = s_json.TemplateReplyArray },
        new("GET", "/api/templates/{name}", Images, "Describe a template") { Reply = s_json.TemplateReply },
        new("GET", "/api/usage", Usage, "Sum up what sandboxes have used, by sandbox or by the value of a tag") { Reply = s_json.UsageReply, Query = [.. s_span, ("groupBy", false, "sandbox (default) or tag:KEY"), ("filter[tag:KEY]", false, "Only sandboxes whose tag has one of these values, separated by commas; an empty one: without the tag"), ("limit", false, "1 to 1,000; 100 by default"), ("cursor", false, "nextCursor of the answer before")], Errors = [400] },
        new("GET", Box + "/usage", Usage, "Tell what a sandbox has used, by the hour; also of one that is deleted") { Reply = s_json.SandboxUsageReply, Query = s_span, Errors = [400] },
        new("GET", "/health", Server, "Whether the server is there") { Reply = s_json.StatusReply, IsOpen = true },
        new("GET", "/healthz", Server, "Whether the server is alive") { Reply = s_json.StatusReply, IsOpen = true },
        new("GET", "/readyz", Server, "Whether sandboxes can be made, else why not") { Reply = s_json.StatusReply, IsOpen = true, Errors = [503] },
        new("GET", "/metrics", Server, "Metrics in Prometheus' text format") { RawReply = "text/plain" },
        new("GET", "/openapi.json", Server, "This document") { RawReply = "application/json", IsOpen = true },
        NotServed("POST", "/api/templates", "Templates of one's own: build an image"),
        NotServed("DELETE", "/api/templates/{name}", "Templates of one's own: build an image"),
        NotServed(Any, "/api/secret-stores/{**rest}", "Secret stores"),
        NotServed(Any, "/api/webhooks/{**rest}", "Webhooks"),
        NotServed(Any, Box + "/mounts/{**rest}", "Mounts"),
        NotServed(Any, Box + "/agent/{**rest}", "Agent sessions"),
        NotServed(Any, Box + "/migrate", "Migration between hosts"),
        NotServed(Any, Box + "/logs", "Logs of sandboxes"),
        NotServed(Any, "/api/workers/{**rest}", "Workers: this is a single host"),
        NotServed(Any, "/api/capacity", "Capacity of workers: this is a single host"),
        NotServed(Any, "/api/auth/{**rest}", "Tokens: clients use their API key"),
    ];

    /// <summary>What is answered with 501, so that clients are told rather than puzzled.</summary>
    private static ApiOperation NotServed(string method, string path, string what) =>
        new(method, path, Missing, $"{what}. Answered with 501 and the code not_supported") { Status = StatusCodes.Status501NotImplemented, Reply = s_json.ErrorBody };
}
