using OpenSandbox.Qmp.Protocol;
using OpenSandbox.Qmp.Transport;

namespace OpenSandbox.Qmp;

// Migration: saving and loading a machine's state.
public sealed partial class QmpClient
{
    /// <summary>Switches a migration capability on or off, such as <c>x-ignore-shared</c>.</summary>
    /// <param name="capability">Its name.</param>
    /// <param name="enabled">Whether it is to be on.</param>
    /// <param name="cancellationToken">Ends the wait, not the command.</param>
    /// <exception cref="ArgumentException">An argument is null or empty.</exception>
    /// <exception cref="QmpCommandException">QEMU refused.</exception>
    /// <exception cref="QmpTimeoutException">QEMU did not answer in time.</exception>
    /// <exception cref="QmpConnectionException">The connection has ended.</exception>
    /// <exception cref="OperationCanceledException">The token was cancelled.</exception>
    public Task SetMigrationCapabilityAsync(string capability, bool enabled, CancellationToken cancellationToken = default)
    {
        ArgumentException.ThrowIfNullOrEmpty(capability);
        return Send("migrate-set-capabilities", Replies.Nothing, (capability, enabled), s_writeCapability, descriptor: null, _options.CommandTimeout, cancellationToken);
    }


    /// <summary>Switches several migration capabilities on or off at once; QEMU takes all or none.</summary>
    /// <param name="capabilities">Names, and whether each is to be on.</param>
    /// <param name="cancellationToken">Ends the wait, not the command.</param>
    /// <exception cref="ArgumentException">An argument is null or empty.</exception>
    /// <exception cref="QmpCommandException">QEMU refused.</exception>
    /// <exception cref="QmpTimeoutException">QEMU did not answer in time.</exception>
    /// <exception cref="QmpConnectionException">The connection has ended.</exception>
    /// <exception cref="OperationCanceledException">The token was cancelled.</exception>
    public Task SetMigrationCapabilitiesAsync(IReadOnlyDictionary<string, bool> capabilities, CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(capabilities);

        // The caller's dictionary is read here and not with the lock held.
        KeyValuePair<string, bool>[] copy = [.. capabilities];
        return Send("migrate-set-capabilities", Replies.Nothing, copy, s_writeCapabilities, descriptor: null, _options.CommandTimeout, cancellationToken);
    }


    /// <summary>Starts to write the machine's state. Completes when it has begun: the end is a MIGRATION event (if the capability <c>events</c> is on) or seen by <see cref="QueryMigrateAsync"/>.</summary>
    /// <param name="uri">Where to, such as <c>fd:NAME</c> for a descriptor sent with <see cref="GetFdAsync"/>.</param>
    /// <param name="timeout">Null for <see cref="QmpClientOptions.CommandTimeout"/>; more than 0, at most one day.</param>
    /// <param name="cancellationToken">Ends the wait, not the command.</param>
    /// <exception cref="ArgumentException">An argument is null or empty.</exception>
    /// <exception cref="QmpCommandException">QEMU refused.</exception>
    /// <exception cref="QmpTimeoutException">QEMU did not answer in time.</exception>
    /// <exception cref="QmpConnectionException">The connection has ended.</exception>
    /// <exception cref="OperationCanceledException">The token was cancelled.</exception>
    public Task MigrateAsync(string uri, TimeSpan? timeout = null, CancellationToken cancellationToken = default)
    {
        ArgumentException.ThrowIfNullOrEmpty(uri);
        return Send("migrate", Replies.Nothing, new TextArguments("uri", uri), s_writeText, descriptor: null, Limit(timeout), cancellationToken);
    }


    /// <summary>Starts to load a machine's state into a QEMU that was started with <c>-incoming defer</c>. Completes when it has begun: the end is seen as with <see cref="MigrateAsync"/>.</summary>
    /// <param name="uri">Where from, such as <c>fd:NAME</c> for a descriptor sent with <see cref="GetFdAsync"/>.</param>
    /// <param name="timeout">Null for <see cref="QmpClientOptions.CommandTimeout"/>; more than 0, at most one day.</param>
    /// <param name="cancellationToken">Ends the wait, not the command.</param>
    /// <exception cref="ArgumentException">An argument is null or empty.</exception>
    /// <exception cref="QmpCommandException">QEMU refused.</exception>
    /// <exception cref="QmpTimeoutException">QEMU did not answer in time.</exception>
    /// <exception cref="QmpConnectionException">The connection has ended.</exception>
    /// <exception cref="OperationCanceledException">The token was cancelled.</exception>
    public Task MigrateIncomingAsync(string uri, TimeSpan? timeout = null, CancellationToken cancellationToken = default)
    {
        ArgumentException.ThrowIfNullOrEmpty(uri);
        return Send("migrate-incoming", Replies.Nothing, new TextArguments("uri", uri), s_writeText, descriptor: null, Limit(timeout), cancellationToken);
    }


    /// <summary>Asks how a migration is doing.</summary>
    /// <param name="cancellationToken">Ends the wait, not the command.</param>
    /// <exception cref="QmpCommandException">QEMU refused.</exception>
    /// <exception cref="QmpTimeoutException">QEMU did not answer in time.</exception>
    /// <exception cref="QmpConnectionException">The connection has ended.</exception>
    /// <exception cref="OperationCanceledException">The token was cancelled.</exception>
    public Task<QmpMigrationStatus> QueryMigrateAsync(CancellationToken cancellationToken = default) =>
        Send("query-migrate", Replies.MigrationStatus, _options.CommandTimeout, cancellationToken);


    /// <summary>Writes the state of all devices, without RAM and disks, to a file that QEMU opens itself.</summary>
    /// <remarks>QEMU writes while it answers nothing else. Untrusted QEMUs must have no file in reach that this could overwrite.</remarks>
    /// <param name="fileName">The file: <c>/proc/self/fd/N</c>, <c>/dev/fdset/ID</c> (of a descriptor opened for writing only), or a name in QEMU's own directory.</param>
    /// <param name="live">Whether this is part of a migration to elsewhere. True gives the disks up when the machine was stopped beforehand: false for a machine that is to go on.</param>
    /// <param name="timeout">Null for <see cref="QmpClientOptions.CommandTimeout"/>; more than 0, at most one day.</param>
    /// <param name="cancellationToken">Ends the wait, not the command.</param>
    /// <exception cref="ArgumentException">An argument is null or empty.</exception>
    /// <exception cref="QmpCommandException">QEMU refused.</exception>
    /// <exception cref="QmpTimeoutException">QEMU did not answer in time.</exception>
    /// <exception cref="QmpConnectionException">The connection has ended.</exception>
    /// <exception cref="OperationCanceledException">The token was cancelled.</exception>
    public Task XenSaveDevicesStateAsync(string fileName, bool live, TimeSpan? timeout = null, CancellationToken cancellationToken = default)
    {
        ArgumentException.ThrowIfNullOrEmpty(fileName);
        return Send("xen-save-devices-state", Replies.Nothing, (fileName, live), s_writeSave, descriptor: null, Limit(timeout), cancellationToken);
    }
}
