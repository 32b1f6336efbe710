namespace OpenSandbox.Vmm;

/// <summary>Both outputs of a run, up to a limit each.</summary>
internal sealed class CollectedOutput(int limit) : IDisposable
{
    private OutputBuffer _output = new(limit);
    private OutputBuffer _error = new(limit);

    internal bool Truncated => _output.Truncated || _error.Truncated;

    internal void Append(SandboxOutputKind kind, ReadOnlySpan<byte> bytes)
    {
        if (kind == SandboxOutputKind.StandardError)
        {
            _error.Append(bytes);
        }
        else
        {
            _output.Append(bytes);
        }
    }

    internal byte[] TakeOutput() => _output.Take();

    internal byte[] TakeError() => _error.Take();

    public void Dispose()
    {
        _output.Dispose();
        _error.Dispose();
    }
}
