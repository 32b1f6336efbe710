namespace OpenSandbox.Host;

/// <summary>What the server logs. Ids 6000 to 6099.</summary>
internal static partial class HostLog
{
    [LoggerMessage(6000, LogLevel.Information, "API keys read again from {File}: {Count} in all")]
    internal static partial void KeysRead(ILogger logger, string file, int count);

    [LoggerMessage(6001, LogLevel.Error, "The file of API keys {File} cannot be used; the keys stay as they were")]
    internal static partial void KeysNotRead(ILogger logger, string file, Exception failure);

    [LoggerMessage(6002, LogLevel.Error, "Request {RequestId} failed by a defect: {Method} {Path}")]
    internal static partial void RequestFailed(ILogger logger, string requestId, string method, string path, Exception failure);

    [LoggerMessage(6003, LogLevel.Warning, "Anyone on this machine can use the server: it has no API key (OPENSANDBOX_API_KEY, --api-keys)")]
    internal static partial void NoKeys(ILogger logger);

    [LoggerMessage(6004, LogLevel.Information, "Listening on {Address}; state in {StateDirectory}")]
    internal static partial void Listening(ILogger logger, string address, string stateDirectory);

    [LoggerMessage(6005, LogLevel.Information, "Taken over from an earlier server: {Running} running, {Hibernated} hibernated, {Crashed} crashed, in {Milliseconds} ms")]
    internal static partial void Recovered(ILogger logger, int running, int hibernated, int crashed, long milliseconds);

    [LoggerMessage(6006, LogLevel.Warning, "The record of sandbox {SandboxId} cannot be read; it is served with defaults, and the record is kept aside: {Reason}")]
    internal static partial void RecordUnreadable(ILogger logger, string sandboxId, string reason);

    [LoggerMessage(6007, LogLevel.Debug, "Background work on sandbox {SandboxId} failed ({What})")]
    internal static partial void BackgroundFailed(ILogger logger, string sandboxId, string what, Exception failure);

    [LoggerMessage(6010, LogLevel.Information, "Sandbox {SandboxId} is scaled from {From} to {To} MiB: its processes hold {Share} percent")]
    internal static partial void Autoscaled(ILogger logger, string sandboxId, int from, int to, int share);

    [LoggerMessage(6011, LogLevel.Warning, "Sandbox {SandboxId} could not be scaled to {To} MiB: {Reason}")]
    internal static partial void AutoscaleFailed(ILogger logger, string sandboxId, int to, string reason);

    [LoggerMessage(6012, LogLevel.Error, "The background service {Service} failed; it goes on with its next turn")]
    internal static partial void ServiceFailed(ILogger logger, string service, Exception failure);

    [LoggerMessage(6013, LogLevel.Warning, "{File} cannot be read and is left out: {Reason}")]
    internal static partial void FileUnreadable(ILogger logger, string file, string reason);

    [LoggerMessage(6040, LogLevel.Error, "Image {Hash} could not be built")]
    internal static partial void ImageFailed(ILogger logger, string hash, Exception failure);

    [LoggerMessage(6041, LogLevel.Warning, "{File} could not be read; it is kept as {Aside}")]
    internal static partial void FileKept(ILogger logger, string file, string aside);

    [LoggerMessage(6080, LogLevel.Warning, "Sandbox {SandboxId} is there but could not be taken over; it is tried again")]
    internal static partial void NotTakenOver(ILogger logger, string sandboxId);

    [LoggerMessage(6081, LogLevel.Warning, "That sandbox {SandboxId} is deleted could not be written down; it is deleted all the same")]
    internal static partial void EndNotNoted(ILogger logger, string sandboxId, Exception failure);

    [LoggerMessage(6082, LogLevel.Warning, "Request {RequestId} failed: {Code}")]
    internal static partial void SandboxFailed(ILogger logger, string requestId, string code, Exception failure);

    [LoggerMessage(6083, LogLevel.Error, "Request {RequestId} failed: the disk is full")]
    internal static partial void DiskFull(ILogger logger, string requestId, Exception failure);
}
