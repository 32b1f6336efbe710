using System.Net;
using Microsoft.AspNetCore.Http;
using OpenSandbox.Host.Errors;
using OpenSandbox.Host.Protection;

namespace OpenSandbox.Host.Tests;

public sealed class RequestRatesTests
{
    private readonly ManualClock _clock = new();

    [Fact]
    public void Client_BurstOfTwiceTheRate_ThenTheRate()
    {
        RequestRates rates = Create(perSecond: 10);
        for (int i = 0; i < 20; i++)
        {
            rates.CountClient("a");
        }

        ApiException refused = Assert.Throws<ApiException>(() => rates.CountClient("a"));
        Assert.Equal((429, 1, true, "rate_limited"), (refused.Status, refused.RetryAfter, refused.Retryable, refused.Code));

        _clock.Advance(TimeSpan.FromMilliseconds(100));
        rates.CountClient("a");
        Assert.Throws<ApiException>(() => rates.CountClient("a"));
        _clock.Advance(TimeSpan.FromHours(1));
        for (int i = 0; i < 20; i++)
        {
            rates.CountClient("a");
        }

        Assert.Throws<ApiException>(() => rates.CountClient("a"));
    }

    [Fact]
    public void Clients_AreCountedApart()
    {
        RequestRates rates = Create(perSecond: 1);
        rates.CountClient("a");
        rates.CountClient("a");
        Assert.Throws<ApiException>(() => rates.CountClient("a"));

        rates.CountClient("b");
        rates.CountAddress(From("192.0.2.1"));
        rates.CountAddress(From("192.0.2.2"));
    }

    [Fact]
    public void Addresses_OfOneIPv6Network_AreOneClient()
    {
        RequestRates rates = Create(perSecond: 1);
        rates.CountAddress(From("2001:db8::1"));
        rates.CountAddress(From("2001:db8::2"));

        Assert.Throws<ApiException>(() => rates.CountAddress(From("2001:db8::3")));
        rates.CountAddress(From("2001:db8:0:1::3"));
    }

    [Fact]
    public void Addresses_AnyNumberOfThem_TakeBoundedMemory()
    {
        RequestRates rates = Create(perSecond: 1_000_000);
        for (int i = 0; i < 3 * RequestRates.MaxClients; i++)
        {
            rates.CountAddress(From($"10.{i >> 16}.{(i >> 8) & 255}.{i & 255}"));
        }

        Assert.InRange(rates.Clients, 1, RequestRates.MaxClients);

        _clock.Advance(TimeSpan.FromSeconds(10));
        rates.CountAddress(From("11.0.0.1"));
        Assert.Equal(1, rates.Clients);
    }

    private static DefaultHttpContext From(string address)
    {
        var context = new DefaultHttpContext();
        context.Connection.RemoteIpAddress = IPAddress.Parse(address);
        return context;
    }

    private RequestRates Create(int perSecond) =>
        new(new ServerOptions { RequestsPerSecond = perSecond, Sandboxes = new SandboxHostOptions { TimeProvider = _clock } });
}
