using OpenSandbox.Vmm.Qemu;

namespace OpenSandbox.Vmm.Golden;

/// <summary>
/// The golden snapshots that a host has loaded: its own, and older ones that saved sandboxes are differences to, as long as this host's
/// QEMU can load them.
/// </summary>
/// <remarks>Thread-safe.</remarks>
internal sealed class GoldenLibrary
{
    private readonly Lock _gate = new();
    private readonly GoldenStore _store;
    private readonly Dictionary<string, Task<GoldenImage>> _others = new(StringComparer.Ordinal);

    internal GoldenLibrary(VmmContext context, GoldenImage own)
    {
        _store = new GoldenStore(context);
        Own = own;
    }

    /// <summary>The one that new sandboxes are made from.</summary>
    internal GoldenImage Own { get; }

    /// <summary>Finds the golden snapshot that a saved machine is a difference to.</summary>
    /// <param name="wanted">Which.</param>
    /// <param name="cancellationToken">Stops waiting.</param>
    /// <returns>The golden snapshot, or nothing and everything that stands against it.</returns>
    internal async Task<(GoldenImage? Golden, IReadOnlyList<string> Mismatches)> FindAsync(
        GoldenReference wanted, CancellationToken cancellationToken)
    {
        (string key, GoldenIdentity identity, string ramSha256) = wanted;
        if (key == Own.Key)
        {
            return Check(Own, ramSha256);
        }

        // Kernel, initramfs, agent and sizes may be others: they are in the saved memory. What emulates the machine may not.
        GoldenIdentity here = Own.Manifest.Identity;
        List<string> mismatches = (here with
        {
            ProtocolGeneration = identity.ProtocolGeneration,
            VcpuCount = identity.VcpuCount,
            BaseMemoryMib = identity.BaseMemoryMib,
            MaxMemoryMib = identity.MaxMemoryMib,
            KernelSha256 = identity.KernelSha256,
            InitramfsSha256 = identity.InitramfsSha256,
            KernelArguments = identity.KernelArguments,
        }).Compare(identity);
        if (identity.ComputeKey() != key)
        {
            mismatches.Add("the identity of the golden snapshot does not belong to its key");
        }

        if (mismatches.Count > 0)
        {
            return (null, mismatches);
        }

        Task<GoldenImage> loading;
        lock (_gate)
        {
            if (!_others.TryGetValue(key, out loading!) || loading.IsFaulted)
            {
                loading = Task.Run(() => _store.LoadExisting(identity, key, CancellationToken.None), CancellationToken.None);
                _others[key] = loading;
            }
        }

        try
        {
            return Check(await loading.WaitAsync(cancellationToken).ConfigureAwait(false), ramSha256);
        }
        catch (GoldenImageException missing)
        {
            return (null, missing.Mismatches.Count > 0 ? missing.Mismatches : [missing.Message]);
        }
    }

    private static (GoldenImage? Golden, IReadOnlyList<string> Mismatches) Check(GoldenImage golden, string ramSha256) =>
        golden.Manifest.RamSha256 == ramSha256
            ? (golden, [])
            : (null, [$"the golden snapshot {golden.Key} has been built anew since: its RAM is {golden.Manifest.RamSha256} instead of {ramSha256}"]);

    /// <summary>Gives the memory of all of them back, once no sandbox maps it any more.</summary>
    internal async Task CloseAsync()
    {
        Task<GoldenImage>[] others;
        lock (_gate)
        {
            others = [.. _others.Values];
            _others.Clear();
        }

        foreach (Task<GoldenImage> loading in others)
        {
            await ((Task)loading).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
            if (loading.IsCompletedSuccessfully)
            {
                (await loading.ConfigureAwait(false)).Close();
            }
        }

        Own.Close();
    }
}
