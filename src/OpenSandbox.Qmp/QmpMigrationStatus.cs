namespace OpenSandbox.Qmp;

/// <summary>What query-migrate reports.</summary>
public sealed record QmpMigrationStatus
{
    /// <summary><c>setup</c>, <c>active</c>, <c>device</c>, <c>completed</c>, <c>failed</c>, ...; null when there has been no migration. At most 128 characters.</summary>
    public string? Status { get; init; }

    /// <summary>Why it failed, in QEMU's words (cut and cleaned as in <see cref="QmpCommandException.Description"/>); null when QEMU does not say.</summary>
    public string? ErrorDescription { get; init; }

    /// <summary>Duration in milliseconds; null when QEMU does not say.</summary>
    public long? TotalTimeMs { get; init; }

    /// <summary>Bytes of RAM transferred; null when QEMU does not say.</summary>
    public long? RamTransferredBytes { get; init; }
}
