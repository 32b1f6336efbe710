using System.Collections.Frozen;
using System.Net;
using System.Net.NetworkInformation;

namespace OpenSandbox.Vmm;

/// <summary>Every address of every interface of this host, kept current by the kernel's notices.</summary>
/// <remarks>Thread-safe. <see cref="Shared"/> lives as long as the process; others are disposed by who made them.</remarks>
internal sealed class HostAddresses : IDisposable
{
    private static readonly Lock s_lock = new();
    private static HostAddresses? s_shared;

    private readonly Func<IEnumerable<IPAddress>> _enumerate;
    private readonly Lock _lock = new();
    private volatile FrozenSet<IPAddress> _addresses = FrozenSet<IPAddress>.Empty;
    private bool _watching;

    /// <summary>Reads the addresses once; <see cref="Watch"/> keeps them current.</summary>
    internal HostAddresses(Func<IEnumerable<IPAddress>> enumerate)
    {
        _enumerate = enumerate;
        Refresh();
    }

    /// <summary>The addresses of this host. A host that cannot read them gets no sandbox: the guard would have a hole.</summary>
    /// <exception cref="NetworkInformationException">They cannot be read.</exception>
    internal static HostAddresses Shared
    {
        get
        {
            lock (s_lock)
            {
                if (s_shared is null)
                {
                    var addresses = new HostAddresses(OfThisHost);
                    addresses.Watch();
                    s_shared = addresses;
                }

                return s_shared;
            }
        }
    }

    internal bool Contains(IPAddress address) => _addresses.Contains(address);

    /// <summary>Reads the addresses anew.</summary>
    internal void Refresh()
    {
        // One at a time, so that an older list never replaces a newer one.
        lock (_lock)
        {
            _addresses = _enumerate().Select(AddressBits.WithoutScope).ToFrozenSet();
        }
    }

    public void Dispose()
    {
        if (_watching)
        {
            NetworkChange.NetworkAddressChanged -= OnChanged;
            _watching = false;
        }
    }

    private static IEnumerable<IPAddress> OfThisHost() =>
        NetworkInterface.GetAllNetworkInterfaces()
            .SelectMany(static link => link.GetIPProperties().UnicastAddresses)
            .Select(static unicast => unicast.Address);

    private void Watch()
    {
        NetworkChange.NetworkAddressChanged += OnChanged;
        _watching = true;
        // What changed between the first reading and the subscription.
        Refresh();
    }

    private void OnChanged(object? sender, EventArgs e)
    {
        try
        {
            Refresh();
        }
        catch (NetworkInformationException)
        {
            // The notice came while an interface was going: the list stays as it was, the next notice reads it again. A connection to an
            // address that is missing is still seen by LocalRoute.
        }
    }
}
