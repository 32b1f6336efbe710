using System.Text.Json.Serialization.Metadata;

namespace OpenSandbox.Vmm.State;

/// <summary>A manifest: a record that is kept in a file of its own, in a numbered format.</summary>
internal interface IManifest<TSelf>
    where TSelf : class, IManifest<TSelf>
{
    /// <summary>The only format that this version reads and writes.</summary>
    static abstract int CurrentFormat { get; }

    /// <summary>What such a file is called in messages.</summary>
    static abstract string Description { get; }

    static abstract JsonTypeInfo<TSelf> JsonType { get; }

    /// <summary>Checks every bound and every relation between fields.</summary>
    /// <exception cref="InvalidDataException">Something is wrong; says what.</exception>
    void Validate();
}
