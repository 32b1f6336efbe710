using Microsoft.Win32.SafeHandles;
using OpenSandbox.Interop;

namespace OpenSandbox.Vmm.State;

/// <summary>A new layer with a name, open for reading and writing. Disposing it removes it, unless a manifest has come to name it.</summary>
internal sealed class LayerFile : IDisposable
{
    private readonly string _path;
    private bool _kept;

    internal LayerFile(string id, string path, SafeFileHandle file)
    {
        Id = id;
        _path = path;
        File = file;
    }

    /// <summary>Its id.</summary>
    internal string Id { get; }

    /// <summary>Its file.</summary>
    internal SafeFileHandle File { get; }

    /// <summary>A manifest names it now: disposing only closes it.</summary>
    internal void Keep() => _kept = true;

    public void Dispose()
    {
        File.Dispose();
        if (!_kept)
        {
            _kept = true;
            System.IO.File.Delete(_path);
        }
    }
}
