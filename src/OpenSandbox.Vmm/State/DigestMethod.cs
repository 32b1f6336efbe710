namespace OpenSandbox.Vmm.State;

/// <summary>How a <see cref="SavedFile"/>'s digest is computed.</summary>
internal enum DigestMethod
{
    /// <summary>SHA-256 of the content: device state, memory.</summary>
    Plain,

    /// <summary><see cref="Storage.SparseDigest"/>: layers, which are mostly holes.</summary>
    Sparse,
}
