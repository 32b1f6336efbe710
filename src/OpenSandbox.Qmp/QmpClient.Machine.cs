using System.Text.Json;
using OpenSandbox.Qmp.Protocol;
using OpenSandbox.Qmp.Transport;

namespace OpenSandbox.Qmp;

// Machine: running, stopping, properties, devices.
public sealed partial class QmpClient
{
    private const string QuitCommand = "quit";

    /// <summary>Stops the virtual CPUs. Causes the event STOP if they were running.</summary>
    /// <param name="cancellationToken">Ends the wait, not the command.</param>
    /// <exception cref="QmpCommandException">QEMU refused.</exception>
    /// <exception cref="QmpTimeoutException">QEMU did not answer in time.</exception>
    /// <exception cref="QmpConnectionException">The connection has ended.</exception>
    /// <exception cref="OperationCanceledException">The token was cancelled.</exception>
    public Task StopAsync(CancellationToken cancellationToken = default) =>
        Send("stop", Replies.Nothing, _options.CommandTimeout, cancellationToken);


    /// <summary>Lets the virtual CPUs run. Causes the event RESUME.</summary>
    /// <param name="cancellationToken">Ends the wait, not the command.</param>
    /// <exception cref="QmpCommandException">QEMU refused.</exception>
    /// <exception cref="QmpTimeoutException">QEMU did not answer in time.</exception>
    /// <exception cref="QmpConnectionException">The connection has ended.</exception>
    /// <exception cref="OperationCanceledException">The token was cancelled.</exception>
    public Task ContinueAsync(CancellationToken cancellationToken = default) =>
        Send("cont", Replies.Nothing, _options.CommandTimeout, cancellationToken);


    /// <summary>Asks for the run state.</summary>
    /// <param name="cancellationToken">Ends the wait, not the command.</param>
    /// <exception cref="QmpCommandException">QEMU refused.</exception>
    /// <exception cref="QmpTimeoutException">QEMU did not answer in time.</exception>
    /// <exception cref="QmpConnectionException">The connection has ended.</exception>
    /// <exception cref="OperationCanceledException">The token was cancelled.</exception>
    public Task<QmpRunStatus> QueryStatusAsync(CancellationToken cancellationToken = default) =>
        Send("query-status", Replies.RunStatus, _options.CommandTimeout, cancellationToken);


    /// <summary>Asks for QEMU's version.</summary>
    /// <param name="cancellationToken">Ends the wait, not the command.</param>
    /// <exception cref="QmpCommandException">QEMU refused.</exception>
    /// <exception cref="QmpTimeoutException">QEMU did not answer in time.</exception>
    /// <exception cref="QmpConnectionException">The connection has ended.</exception>
    /// <exception cref="OperationCanceledException">The token was cancelled.</exception>
    public Task<QmpVersion> QueryVersionAsync(CancellationToken cancellationToken = default) =>
        Send("query-version", Replies.Version, _options.CommandTimeout, cancellationToken);


    /// <summary>Ends QEMU. Completes when QEMU has acknowledged; the connection ends soon after (<see cref="Completion"/>), the process later still.</summary>
    /// <param name="timeout">Null for <see cref="QmpClientOptions.CommandTimeout"/>; more than 0, at most one day.</param>
    /// <param name="cancellationToken">Ends the wait, not the command.</param>
    /// <exception cref="QmpCommandException">QEMU refused.</exception>
    /// <exception cref="QmpTimeoutException">QEMU did not answer in time.</exception>
    /// <exception cref="QmpConnectionException">The connection has ended.</exception>
    /// <exception cref="OperationCanceledException">The token was cancelled.</exception>
    public Task QuitAsync(TimeSpan? timeout = null, CancellationToken cancellationToken = default) =>
        Send(QuitCommand, Replies.Nothing, Limit(timeout), cancellationToken);


    /// <summary>Sets a property of an object to a boolean.</summary>
    /// <param name="path">The object, such as <c>/machine/peripheral/mem0</c> or an unambiguous partial path.</param>
    /// <param name="property">The property's name.</param>
    /// <param name="value">The value.</param>
    /// <param name="cancellationToken">Ends the wait, not the command.</param>
    /// <exception cref="ArgumentException">An argument is null or empty.</exception>
    /// <exception cref="QmpCommandException">QEMU refused.</exception>
    /// <exception cref="QmpTimeoutException">QEMU did not answer in time.</exception>
    /// <exception cref="QmpConnectionException">The connection has ended.</exception>
    /// <exception cref="OperationCanceledException">The token was cancelled.</exception>
    public Task QomSetAsync(string path, string property, bool value, CancellationToken cancellationToken = default)
    {
        ArgumentException.ThrowIfNullOrEmpty(path);
        ArgumentException.ThrowIfNullOrEmpty(property);
        return Send("qom-set", Replies.Nothing, (path, property, value), s_writeBoolean, descriptor: null, _options.CommandTimeout, cancellationToken);
    }


    /// <summary>Sets a property of an object to an integer, such as <c>requested-size</c> of a virtio-mem device (bytes).</summary>
    /// <param name="path">The object, such as <c>/machine/peripheral/mem0</c> or an unambiguous partial path.</param>
    /// <param name="property">The property's name.</param>
    /// <param name="value">The value.</param>
    /// <param name="cancellationToken">Ends the wait, not the command.</param>
    /// <exception cref="ArgumentException">An argument is null or empty.</exception>
    /// <exception cref="QmpCommandException">QEMU refused.</exception>
    /// <exception cref="QmpTimeoutException">QEMU did not answer in time.</exception>
    /// <exception cref="QmpConnectionException">The connection has ended.</exception>
    /// <exception cref="OperationCanceledException">The token was cancelled.</exception>
    public Task QomSetAsync(string path, string property, long value, CancellationToken cancellationToken = default)
    {
        ArgumentException.ThrowIfNullOrEmpty(path);
        ArgumentException.ThrowIfNullOrEmpty(property);
        return Send("qom-set", Replies.Nothing, (path, property, value), s_writeInteger, descriptor: null, _options.CommandTimeout, cancellationToken);
    }


    /// <summary>Sets a property of an object to a string.</summary>
    /// <param name="path">The object, such as <c>/machine/peripheral/mem0</c> or an unambiguous partial path.</param>
    /// <param name="property">The property's name.</param>
    /// <param name="value">The value.</param>
    /// <param name="cancellationToken">Ends the wait, not the command.</param>
    /// <exception cref="ArgumentException">An argument is null or empty.</exception>
    /// <exception cref="QmpCommandException">QEMU refused.</exception>
    /// <exception cref="QmpTimeoutException">QEMU did not answer in time.</exception>
    /// <exception cref="QmpConnectionException">The connection has ended.</exception>
    /// <exception cref="OperationCanceledException">The token was cancelled.</exception>
    public Task QomSetAsync(string path, string property, string value, CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(value);
        ArgumentException.ThrowIfNullOrEmpty(path);
        ArgumentException.ThrowIfNullOrEmpty(property);
        return Send("qom-set", Replies.Nothing, (path, property, value), s_writeString, descriptor: null, _options.CommandTimeout, cancellationToken);
    }


    /// <summary>Reads a property of an object.</summary>
    /// <param name="path">The object, such as <c>/machine/peripheral/mem0</c> or an unambiguous partial path.</param>
    /// <param name="property">The property's name.</param>
    /// <param name="cancellationToken">Ends the wait, not the command.</param>
    /// <returns>The value; it owns its memory.</returns>
    /// <exception cref="ArgumentException">An argument is null or empty.</exception>
    /// <exception cref="QmpCommandException">QEMU refused.</exception>
    /// <exception cref="QmpTimeoutException">QEMU did not answer in time.</exception>
    /// <exception cref="QmpConnectionException">The connection has ended.</exception>
    /// <exception cref="OperationCanceledException">The token was cancelled.</exception>
    public Task<JsonElement> QomGetAsync(string path, string property, CancellationToken cancellationToken = default)
    {
        ArgumentException.ThrowIfNullOrEmpty(path);
        ArgumentException.ThrowIfNullOrEmpty(property);
        return Send("qom-get", Replies.Element, new TextArguments("path", path, "property", property), s_writeText, descriptor: null, _options.CommandTimeout, cancellationToken);
    }


    /// <summary>Lists plugged memory devices, with how much of each is plugged.</summary>
    /// <param name="cancellationToken">Ends the wait, not the command.</param>
    /// <exception cref="QmpCommandException">QEMU refused.</exception>
    /// <exception cref="QmpTimeoutException">QEMU did not answer in time.</exception>
    /// <exception cref="QmpConnectionException">The connection has ended.</exception>
    /// <exception cref="OperationCanceledException">The token was cancelled.</exception>
    public Task<IReadOnlyList<QmpMemoryDevice>> QueryMemoryDevicesAsync(CancellationToken cancellationToken = default) =>
        Send("query-memory-devices", Replies.MemoryDevices, _options.CommandTimeout, cancellationToken);


    /// <summary>Plugs a device. For QEMU this only begins it: what the guest makes of it comes later.</summary>
    /// <param name="argumentsJson">The arguments of device_add, a JSON object in UTF-8: <c>driver</c>, <c>id</c>, and properties. Copied before this returns.</param>
    /// <param name="timeout">Null for <see cref="QmpClientOptions.CommandTimeout"/>; more than 0, at most one day.</param>
    /// <param name="cancellationToken">Ends the wait, not the command.</param>
    /// <exception cref="ArgumentException">The arguments are not a JSON object.</exception>
    /// <exception cref="QmpCommandException">QEMU refused.</exception>
    /// <exception cref="QmpTimeoutException">QEMU did not answer in time.</exception>
    /// <exception cref="QmpConnectionException">The connection has ended.</exception>
    /// <exception cref="OperationCanceledException">The token was cancelled.</exception>
    public Task DeviceAddAsync(ReadOnlyMemory<byte> argumentsJson, TimeSpan? timeout = null, CancellationToken cancellationToken = default)
    {
        CheckObject(argumentsJson.Span, nameof(argumentsJson));
        return Send("device_add", Replies.Nothing, argumentsJson.Span, s_writeRaw, descriptor: null, Limit(timeout), cancellationToken);
    }


    /// <summary>Asks for a device to be unplugged. When the guest has let go of it, the event DEVICE_DELETED comes.</summary>
    /// <param name="id">The device's id.</param>
    /// <param name="timeout">Null for <see cref="QmpClientOptions.CommandTimeout"/>; more than 0, at most one day.</param>
    /// <param name="cancellationToken">Ends the wait, not the command.</param>
    /// <exception cref="ArgumentException">An argument is null or empty.</exception>
    /// <exception cref="QmpCommandException">QEMU refused.</exception>
    /// <exception cref="QmpTimeoutException">QEMU did not answer in time.</exception>
    /// <exception cref="QmpConnectionException">The connection has ended.</exception>
    /// <exception cref="OperationCanceledException">The token was cancelled.</exception>
    public Task DeviceDeleteAsync(string id, TimeSpan? timeout = null, CancellationToken cancellationToken = default)
    {
        ArgumentException.ThrowIfNullOrEmpty(id);
        return Send("device_del", Replies.Nothing, new TextArguments("id", id), s_writeText, descriptor: null, Limit(timeout), cancellationToken);
    }
}
