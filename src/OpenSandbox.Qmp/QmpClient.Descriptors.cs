using System.Runtime.InteropServices;
using OpenSandbox.Qmp.Protocol;
using OpenSandbox.Qmp.Transport;

namespace OpenSandbox.Qmp;

// Descriptors: files that QEMU gets from us instead of opening them.
public sealed partial class QmpClient
{
    /// <summary>Gives QEMU a file descriptor under a name, for <c>fd:NAME</c>. It travels in one message with the command (SCM_RIGHTS).</summary>
    /// <param name="name">The name; one that is in use is replaced. Must not begin with a digit.</param>
    /// <param name="descriptor">Any open file, socket or memfd. QEMU gets a descriptor of its own: the caller's may be closed once this has returned.</param>
    /// <param name="cancellationToken">Ends the wait, not the command.</param>
    /// <exception cref="ArgumentException">An argument is null or empty.</exception>
    /// <exception cref="ObjectDisposedException">The descriptor is closed.</exception>
    /// <exception cref="QmpCommandException">QEMU refused.</exception>
    /// <exception cref="QmpTimeoutException">QEMU did not answer in time.</exception>
    /// <exception cref="QmpConnectionException">The connection has ended.</exception>
    /// <exception cref="OperationCanceledException">The token was cancelled.</exception>
    public Task GetFdAsync(string name, SafeHandle descriptor, CancellationToken cancellationToken = default)
    {
        ArgumentException.ThrowIfNullOrEmpty(name);
        ArgumentNullException.ThrowIfNull(descriptor);
        return Send("getfd", Replies.Nothing, new TextArguments("fdname", name), s_writeText, descriptor, _options.CommandTimeout, cancellationToken);
    }


    /// <summary>Closes a descriptor given with <see cref="GetFdAsync"/> that nothing took.</summary>
    /// <param name="name">Its name.</param>
    /// <param name="cancellationToken">Ends the wait, not the command.</param>
    /// <exception cref="ArgumentException">An argument is null or empty.</exception>
    /// <exception cref="QmpCommandException">QEMU refused.</exception>
    /// <exception cref="QmpTimeoutException">QEMU did not answer in time.</exception>
    /// <exception cref="QmpConnectionException">The connection has ended.</exception>
    /// <exception cref="OperationCanceledException">The token was cancelled.</exception>
    public Task CloseFdAsync(string name, CancellationToken cancellationToken = default)
    {
        ArgumentException.ThrowIfNullOrEmpty(name);
        return Send("closefd", Replies.Nothing, new TextArguments("fdname", name), s_writeText, descriptor: null, _options.CommandTimeout, cancellationToken);
    }


    /// <summary>Adds a file descriptor to a set that QEMU opens as <c>/dev/fdset/ID</c>. It travels in one message with the command (SCM_RIGHTS).</summary>
    /// <param name="descriptor">Any open file, socket or memfd. QEMU gets a descriptor of its own: the caller's may be closed once this has returned.</param>
    /// <param name="fdSetId">The set, made if need be; null for a new one.</param>
    /// <param name="opaque">A note that query-fdsets shows; null for none.</param>
    /// <param name="cancellationToken">Ends the wait, not the command.</param>
    /// <exception cref="ObjectDisposedException">The descriptor is closed.</exception>
    /// <exception cref="QmpCommandException">QEMU refused.</exception>
    /// <exception cref="QmpTimeoutException">QEMU did not answer in time.</exception>
    /// <exception cref="QmpConnectionException">The connection has ended.</exception>
    /// <exception cref="OperationCanceledException">The token was cancelled.</exception>
    public Task<QmpAddedDescriptor> AddFdAsync(
        SafeHandle descriptor, long? fdSetId = null, string? opaque = null, CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(descriptor);
        return Send("add-fd", Replies.AddedDescriptor, (fdSetId, opaque), s_writeAddFd, descriptor, _options.CommandTimeout, cancellationToken);
    }


    /// <summary>Takes descriptors out of a set.</summary>
    /// <remarks>QEMU (7.2 at least) closes them no sooner than the virtual CPUs run: in a stopped machine they stay open.</remarks>
    /// <param name="fdSetId">The set.</param>
    /// <param name="fd">The descriptor's number inside QEMU; null for all of the set.</param>
    /// <param name="cancellationToken">Ends the wait, not the command.</param>
    /// <exception cref="QmpCommandException">QEMU refused.</exception>
    /// <exception cref="QmpTimeoutException">QEMU did not answer in time.</exception>
    /// <exception cref="QmpConnectionException">The connection has ended.</exception>
    /// <exception cref="OperationCanceledException">The token was cancelled.</exception>
    public Task RemoveFdAsync(long fdSetId, long? fd = null, CancellationToken cancellationToken = default) =>
        Send("remove-fd", Replies.Nothing, (fdSetId, fd), s_writeRemoveFd, descriptor: null, _options.CommandTimeout, cancellationToken);
}
