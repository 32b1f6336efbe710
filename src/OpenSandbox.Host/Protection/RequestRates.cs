using System.Collections.Concurrent;
using System.Net;
using OpenSandbox.Host.Errors;

namespace OpenSandbox.Host.Protection;

/// <summary>How many requests a second each client may make: one bucket for a key, and one for an address that gives none. Thread-safe.</summary>
internal sealed class RequestRates(ServerOptions options)
{
    /// <summary>Addresses are many, and cheap for whoever wants to fill a table with them.</summary>
    internal const int MaxClients = 8_192;

    private readonly ConcurrentDictionary<string, TokenBucket> _buckets = new(StringComparer.Ordinal);
    private readonly TokenBucket _others = NewBucket(options);

    /// <summary>How many clients are told apart now.</summary>
    internal int Clients => _buckets.Count;

    /// <summary>Counts a request of a client with a key.</summary>
    /// <exception cref="ApiException">429: it makes too many.</exception>
    internal void CountClient(string client) => Count("key " + client);

    /// <summary>Counts a request that has no valid key, or needs none.</summary>
    /// <exception cref="ApiException">429: too many come from there.</exception>
    internal void CountAddress(HttpContext context) => Count("address " + AddressOf(context.Connection.RemoteIpAddress));

    private static TokenBucket NewBucket(ServerOptions options) =>
        new(options.RequestsPerSecond, 2d * options.RequestsPerSecond, options.Sandboxes.TimeProvider);

    /// <summary>An IPv6 client has at least a /64 to choose from.</summary>
    private static string AddressOf(IPAddress? address)
    {
        if (address is null)
        {
            return "local";
        }

        if (address.AddressFamily == System.Net.Sockets.AddressFamily.InterNetworkV6 && !address.IsIPv4MappedToIPv6)
        {
            byte[] bytes = address.GetAddressBytes();
            Array.Clear(bytes, 8, 8);
            return new IPAddress(bytes).ToString();
        }

        return address.ToString();
    }

    private void Count(string client)
    {
        if (BucketOf(client).Take() is { Ticks: > 0 } wait)
        {
            throw new ApiException(
                StatusCodes.Status429TooManyRequests, $"more than {options.RequestsPerSecond} requests a second: slow down")
            {
                Code = "rate_limited",
                Retryable = true,
                RetryAfter = Math.Max(1, (int)Math.Ceiling(wait.TotalSeconds)),
            };
        }
    }

    private TokenBucket BucketOf(string client)
    {
        if (_buckets.TryGetValue(client, out TokenBucket? bucket))
        {
            return bucket;
        }

        if (_buckets.Count >= MaxClients)
        {
            foreach ((string idle, TokenBucket full) in _buckets)
            {
                if (full.IsFull)
                {
                    _buckets.TryRemove(idle, out _);
                }
            }

            if (_buckets.Count >= MaxClients)
            {
                return _others;
            }
        }

        return _buckets.GetOrAdd(client, static (_, options) => NewBucket(options), options);
    }
}
