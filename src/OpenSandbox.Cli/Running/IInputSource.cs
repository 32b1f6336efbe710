namespace OpenSandbox.Cli.Running;

/// <summary>Where a command's input comes from.</summary>
internal interface IInputSource
{
    /// <summary>Reads what there is, waiting for something.</summary>
    /// <returns>Bytes read; 0 at the end.</returns>
    ValueTask<int> ReadAsync(Memory<byte> buffer, CancellationToken cancellationToken);
}
