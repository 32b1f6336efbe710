using Microsoft.Win32.SafeHandles;
using OpenSandbox.Interop;

namespace OpenSandbox.Vmm.State;

/// <summary>
/// A new layer with a name, open for reading and writing. Disposing it only closes it: where a commit that was to name it has failed, the
/// layer may still have come to be named, and is swept if it has not.
/// </summary>
internal sealed class LayerFile : IDisposable
{
    private readonly string _path;

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

    /// <summary>Closes and removes it. Only for a layer that was never given to a manifest that was to be committed.</summary>
    internal void Discard()
    {
        File.Dispose();
        System.IO.File.Delete(_path);
    }

    public void Dispose() => File.Dispose();
}
