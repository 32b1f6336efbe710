using System.Net;
using System.Text;

namespace OpenSandbox.Host.Tests;

/// <summary>What becomes of images whose records a server that was killed has not written, or that cannot be read any more.</summary>
[Collection(ServerFixture.Collection)]
public sealed class ImageRecoveryTests
{
    [SkippableFact]
    public async Task Start_DisksThatNoRecordNames_AreDeletedAndOthersStay()
    {
        Skip.If(ServerDirectory.MissingPrerequisite is not null, ServerDirectory.MissingPrerequisite);
        await using var directory = new ServerDirectory();
        string images = Path.Combine(directory.StatePath, "api", "images");
        await using (OpenSandboxServer server = await StartAsync(directory))
        {
            foreach (string name in (string[])["kept", "lost", "unreadable"])
            {
                RawAnswer built = await SendAsync(server, "POST", "/api/snapshots", $$$"""{"name":"{{{name}}}","image":{"steps":[{"type":"workdir","args":{"path":"/{{{name}}}"}}]}}""");
                Assert.True(built.Status == 201, built.Text);
                string record = Path.Combine(images, built.String("contentHash") + ".json");
                switch (name)
                {
                    case "lost":
                        File.Delete(record);
                        break;
                    case "unreadable":
                        File.WriteAllText(record, "{");
                        break;
                }
            }

            Assert.Equal(3, Disks(directory).Length);
        }

        await using (OpenSandboxServer server = await StartAsync(directory))
        {
            Assert.Equal(2, Disks(directory).Length);
            string kept = (await SendAsync(server, "GET", "/api/images")).Json[0].GetProperty("contentHash").GetString()!;
            Assert.Equal(kept, (await SendAsync(server, "GET", "/api/snapshots/kept")).String("contentHash"));
            RawAnswer made = await SendAsync(server, "POST", "/api/sandboxes", """{"snapshot":"kept","timeout":0,"memoryMB":512}""");
            Assert.True(made.Status == 201, made.Text);
        }
    }

    private static string[] Disks(ServerDirectory directory) => Directory.GetDirectories(Path.Combine(directory.StatePath, "snapshots"), "sn-*");

    private static Task<OpenSandboxServer> StartAsync(ServerDirectory directory) => OpenSandboxServer.StartAsync(
        new ServerOptions { Listen = ListenAddress.Parse("127.0.0.1:0"), ApiKeys = [ServerFixture.Key], Sandboxes = directory.Options },
        cancellationToken: Deadline.In(240));

    private static Task<RawAnswer> SendAsync(OpenSandboxServer server, string method, string target, string? body = null) => RawHttp.SendAsync(
        IPEndPoint.Parse(new Uri(server.Address).Authority),
        RawHttp.Request(method, target, body is null ? null : Encoding.UTF8.GetBytes(body), $"X-API-Key: {ServerFixture.Key}"));
}
