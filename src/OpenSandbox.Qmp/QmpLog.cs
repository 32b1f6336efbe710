using Microsoft.Extensions.Logging;

namespace OpenSandbox.Qmp;

/// <summary>Everything that this library logs: event ids 1000-1999, Debug only, never an argument's value.</summary>
internal static partial class QmpLog
{
    [LoggerMessage(1000, LogLevel.Debug, "QMP connected to QEMU {Major}.{Minor}.{Micro}", EventName = "Connected")]
    internal static partial void Connected(this ILogger logger, int major, int minor, int micro);

    [LoggerMessage(1001, LogLevel.Debug, "QMP connection ended: {Cause}", EventName = "ConnectionEnded")]
    internal static partial void ConnectionEnded(this ILogger logger, string cause);

    [LoggerMessage(1010, LogLevel.Debug, "QMP command {Command} queued as {CommandId}", EventName = "CommandQueued")]
    internal static partial void CommandQueued(this ILogger logger, string command, long commandId);

    [LoggerMessage(1011, LogLevel.Debug, "QMP command {CommandId} answered", EventName = "CommandAnswered")]
    internal static partial void CommandAnswered(this ILogger logger, long commandId);

    [LoggerMessage(1012, LogLevel.Debug, "QMP command {CommandId} ({Command}) expired after {LimitMs} ms", EventName = "CommandExpired")]
    internal static partial void CommandExpired(this ILogger logger, long commandId, string command, double limitMs);

    [LoggerMessage(1013, LogLevel.Debug, "QMP reply to {CommandId} dropped: nobody waits for it", EventName = "ReplyDropped")]
    internal static partial void ReplyDropped(this ILogger logger, long commandId);

    [LoggerMessage(1020, LogLevel.Debug, "QMP event {Event} for {Subscribers} subscriptions", EventName = "EventReceived")]
    internal static partial void EventReceived(this ILogger logger, string @event, int subscribers);
}
