using OpenSandbox.Qmp.Protocol;
using OpenSandbox.Qmp.Transport;

namespace OpenSandbox.Qmp;

// Blocks: nodes of the block layer.
public sealed partial class QmpClient
{
    /// <summary>Adds a block node.</summary>
    /// <param name="optionsJson">The node's options, a JSON object in UTF-8 with <c>driver</c> and <c>node-name</c>. Copied before this returns.</param>
    /// <param name="timeout">Null for <see cref="QmpClientOptions.CommandTimeout"/>; more than 0, at most one day.</param>
    /// <param name="cancellationToken">Ends the wait, not the command.</param>
    /// <exception cref="ArgumentException">The options are not a JSON object.</exception>
    /// <exception cref="QmpCommandException">QEMU refused.</exception>
    /// <exception cref="QmpTimeoutException">QEMU did not answer in time.</exception>
    /// <exception cref="QmpConnectionException">The connection has ended.</exception>
    /// <exception cref="OperationCanceledException">The token was cancelled.</exception>
    public Task BlockdevAddAsync(ReadOnlyMemory<byte> optionsJson, TimeSpan? timeout = null, CancellationToken cancellationToken = default)
    {
        CheckObject(optionsJson.Span, nameof(optionsJson));
        return Send("blockdev-add", Replies.Nothing, optionsJson.Span, s_writeRaw, descriptor: null, Limit(timeout), cancellationToken);
    }


    /// <summary>Removes a block node that nothing uses.</summary>
    /// <param name="nodeName">Its name.</param>
    /// <param name="timeout">Null for <see cref="QmpClientOptions.CommandTimeout"/>; more than 0, at most one day.</param>
    /// <param name="cancellationToken">Ends the wait, not the command.</param>
    /// <exception cref="ArgumentException">An argument is null or empty.</exception>
    /// <exception cref="QmpCommandException">QEMU refused.</exception>
    /// <exception cref="QmpTimeoutException">QEMU did not answer in time.</exception>
    /// <exception cref="QmpConnectionException">The connection has ended.</exception>
    /// <exception cref="OperationCanceledException">The token was cancelled.</exception>
    public Task BlockdevDeleteAsync(string nodeName, TimeSpan? timeout = null, CancellationToken cancellationToken = default)
    {
        ArgumentException.ThrowIfNullOrEmpty(nodeName);
        return Send("blockdev-del", Replies.Nothing, new TextArguments("node-name", nodeName), s_writeText, descriptor: null, Limit(timeout), cancellationToken);
    }


    /// <summary>Puts an overlay on top of a node: what was written so far stays as it is in the node below.</summary>
    /// <param name="nodeName">The node whose content is frozen.</param>
    /// <param name="overlayNodeName">The overlay, added beforehand with <c>"backing": null</c>.</param>
    /// <param name="timeout">Null for <see cref="QmpClientOptions.CommandTimeout"/>; more than 0, at most one day.</param>
    /// <param name="cancellationToken">Ends the wait, not the command.</param>
    /// <exception cref="ArgumentException">An argument is null or empty.</exception>
    /// <exception cref="QmpCommandException">QEMU refused.</exception>
    /// <exception cref="QmpTimeoutException">QEMU did not answer in time.</exception>
    /// <exception cref="QmpConnectionException">The connection has ended.</exception>
    /// <exception cref="OperationCanceledException">The token was cancelled.</exception>
    public Task BlockdevSnapshotAsync(
        string nodeName, string overlayNodeName, TimeSpan? timeout = null, CancellationToken cancellationToken = default)
    {
        ArgumentException.ThrowIfNullOrEmpty(nodeName);
        ArgumentException.ThrowIfNullOrEmpty(overlayNodeName);
        return Send(
            "blockdev-snapshot",
            Replies.Nothing,
            new TextArguments("node", nodeName, "overlay", overlayNodeName),
            s_writeText,
            descriptor: null,
            Limit(timeout),
            cancellationToken);
    }


    /// <summary>Gives a node other options, such as another child; what is not named gets its default.</summary>
    /// <param name="optionsJson">All options of the node, a JSON object in UTF-8. Copied before this returns.</param>
    /// <param name="timeout">Null for <see cref="QmpClientOptions.CommandTimeout"/>; more than 0, at most one day.</param>
    /// <param name="cancellationToken">Ends the wait, not the command.</param>
    /// <exception cref="ArgumentException">The options are not a JSON object.</exception>
    /// <exception cref="QmpCommandException">QEMU refused.</exception>
    /// <exception cref="QmpTimeoutException">QEMU did not answer in time.</exception>
    /// <exception cref="QmpConnectionException">The connection has ended.</exception>
    /// <exception cref="OperationCanceledException">The token was cancelled.</exception>
    public Task BlockdevReopenAsync(ReadOnlyMemory<byte> optionsJson, TimeSpan? timeout = null, CancellationToken cancellationToken = default)
    {
        CheckObject(optionsJson.Span, nameof(optionsJson));
        return Send("blockdev-reopen", Replies.Nothing, optionsJson.Span, s_writeReopen, descriptor: null, Limit(timeout), cancellationToken);
    }
}
