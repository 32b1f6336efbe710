namespace OpenSandbox.Vmm.Archives;

/// <summary>What a reader accepts. An archive that has more is refused before more is stored.</summary>
internal sealed record ArchiveLimits
{
    /// <summary>Most bytes of the manifest; 1 MiB unless set.</summary>
    internal int ManifestBytes { get; init; } = 1 << 20;

    /// <summary>Most bytes of one entry's content; 64 GiB unless set.</summary>
    internal long EntryBytes { get; init; } = 64L << 30;

    /// <summary>Most bytes of all entries' content; 128 GiB unless set.</summary>
    internal long TotalBytes { get; init; } = 128L << 30;

    /// <summary>Most entries; 256 unless set.</summary>
    internal int Entries { get; init; } = 256;
}
